"""What one platform takes, and what a cut made for it is like."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Zone:
    """The margins that a platform's own controls cover, as shares of the picture's width (left, right) and height."""

    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0


@dataclass(frozen=True, slots=True)
class PlatformSpec:
    """One target of cuts. `width` x `height` is the largest picture that is made, in pixels; None is no limit.

    Times are in seconds, `max_bytes` in bytes, `max_kbps` is of the video in kilobits per second. `lufs` and
    `peak_dbtp` are the loudness aimed at, by ITU-R BS.1770.
    """

    name: str
    title: str
    width: int
    height: int
    min_fps: float = 1.0
    max_fps: float = 60.0
    min_s: float = 0.0
    max_s: float | None = None
    max_bytes: int | None = None
    max_kbps: int | None = None
    max_gop_s: float | None = None
    lufs: float = -14.0
    peak_dbtp: float = -1.0
    safe: Zone = Zone()

    @property
    def aspect(self) -> Fraction:
        """Width by height."""
        return Fraction(self.width, self.height)
