"""What is laid over a cut's picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layer:
    """A PNG with transparency, put with its upper left corner at (x, y) of the finished picture, in pixels.

    Seen from `start_s` to before `end_s` of the cut; None is until the end.
    """

    picture: Path
    x: int
    y: int
    start_s: float = 0.0
    end_s: float | None = None
