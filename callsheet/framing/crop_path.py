"""Which part of a clip a cut shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class CropKey:
    """The crop's upper left corner at one moment, even pixels of the upright picture."""

    at_s: float
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Framing:
    """ "crop": a part of `width` x `height` pixels that stays (one key) or moves straight from key to key.

    "pad": the whole picture over a blurred copy of itself, no keys. `reason` tells in a sentence why.
    """

    how: Literal["crop", "pad"]
    width: int
    height: int
    path: tuple[CropKey, ...]
    reason: str
