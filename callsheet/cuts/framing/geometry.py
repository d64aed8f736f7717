"""The arithmetic of crops. All in pixels.

The largest part of a picture that has an aspect, and where it lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

How = Literal["given", "asked", "saliency", "centre"]


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
