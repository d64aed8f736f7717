"""The arithmetic of crops, in pixels, and the focus that a manifest gives.

The largest part of a picture that has an aspect, and where it lies. A focus is `auto`, `ask`, `centre`, a side, a point
or a box.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from callsheet.errors import UsageError

How = Literal["given", "asked", "saliency", "centre"]
ALLOWED = (
    "auto, ask, centre, left, right, top, bottom, a point x,y or a box left,top,right,bottom in shares from 0 to 1"
)
# As the position of a picture in CSS: the crop lies against that side.
_PLACES = {
    "left": (0.0, 0.5, 0.0, 0.5),
    "right": (1.0, 0.5, 1.0, 0.5),
    "top": (0.5, 0.0, 0.5, 0.0),
    "bottom": (0.5, 1.0, 0.5, 1.0),
}
_MAX_CHARS = 100


@dataclass(frozen=True, slots=True)
class SubjectBox:
    """The subject at one moment, in shares 0..1 of the upright picture.

    `at_s` is in seconds into the clip.
    """

    at_s: float
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject's boxes in the order of time (none: unknown).

    How they were found, and why so in one sentence.
    """

    boxes: tuple[SubjectBox, ...]
    how: How
    reason: str


@dataclass(frozen=True, slots=True)
class CropKey:
    """The crop's upper left corner at one moment, even pixels of the upright picture."""

    at_s: float
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Framing:
    """A part of the picture, or all of it, as a cut shows it.

    "crop": a part of `width` x `height` pixels that stays (one key) or moves straight from key to key. "pad": the whole
    picture over a blurred copy of itself, no keys. `reason` says in a sentence why.
    """

    how: Literal["crop", "pad"]
    width: int
    height: int
    path: tuple[CropKey, ...]
    reason: str


def largest_crop(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Return width and height of the largest part with the aspect.

    The aspect is of stored pixels. Both are even, and true to less than a pixel.
    """
    if width * aspect.denominator > height * aspect.numerator:
        high, wide = _fit(height, aspect)
    else:
        wide, high = _fit(width, 1 / aspect)
    return wide, high


def place(length: int, part: int, centre: float) -> int:
    """Return where a part of a side begins when it is centred on a share of the side.

    Even, and inside.
    """
    return max(0, min(length - part, int(length * centre - part / 2))) // 2 * 2


def even(value: Fraction | float) -> int:
    """Return the nearest even number; a whole number is rounded down."""
    return round(value / 2) * 2 if value != int(value) else int(value) // 2 * 2


def _fit(side: int, ratio: Fraction) -> tuple[int, int]:
    # An odd other side would be a pixel off when made even; then two pixels less of this side fit better.
    tall = even(side)
    best = next((s for s in (tall, tall - 2, tall - 4) if abs(even(s * ratio) - s * ratio) < 1), tall)
    return best, even(best * ratio)


@dataclass(frozen=True, slots=True)
class Focus:
    """The place to look at.

    "auto": the subject is looked for; "ask": Gemini finds it; "centre"; "given": in `box`. `box` is left, top, right,
    bottom in shares 0..1 of the upright clip; a point is a box without size. `text` is what was written, in its
    shortest form.
    """

    how: Literal["auto", "ask", "centre", "given"]
    text: str
    box: tuple[float, float, float, float] | None = None

    def subject(self) -> Subject | None:
        """Return the subject as the manifest gives it.

        None when it has to be looked for, here or by Gemini.
        """
        if self.how == "centre":
            return Subject((), "centre", "the centre was asked for")
        if self.box is None:
            return None
        return Subject((SubjectBox(0.0, *self.box),), "given", f"{self.text} was asked for")


def parse_focus(text: str) -> Focus:
    """Parse the focus that a manifest or a setting gives.

    UsageError says what is wrong and what is allowed.
    """
    word = " ".join(text[: _MAX_CHARS + 1].split()).lower()
    if word in ("auto", "ask", "centre"):
        return Focus(word, word)  # type: ignore[arg-type]
    if word in _PLACES:
        return Focus("given", word, _PLACES[word])
    if "," in word:
        return _parse_place(word)
    raise UsageError(f"{_quote(text)} is no focus. Allowed: {ALLOWED}.")


def _parse_place(text: str) -> Focus:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{_quote(text)} is no focus: not all parts are numbers. Allowed: {ALLOWED}.") from None
    if len(numbers) not in (2, 4):
        raise UsageError(f"{_quote(text)} has {len(numbers)} numbers. A point has two, a box four. Allowed: {ALLOWED}.")
    if not all(0 <= number <= 1 for number in numbers):
        raise UsageError(f"{_quote(text)} goes beyond the picture: every number lies between 0 and 1.")
    left, top, right, bottom = numbers if len(numbers) == 4 else numbers * 2
    if len(numbers) == 4 and not (left < right and top < bottom):
        raise UsageError(f"{_quote(text)} is no box: left must be less than right, and top less than bottom.")
    return Focus("given", ",".join(f"{number:g}" for number in numbers), (left, top, right, bottom))


def _quote(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
