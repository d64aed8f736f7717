"""The focus that a manifest gives.

`auto`, `ask`, `centre`, a side, a point or a box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from callsheet.cuts.framing.geometry import Subject, SubjectBox
from callsheet.errors import UsageError

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
