"""The spec of a platform: what it takes, and what a cut made for it is like."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from fractions import Fraction

# A picture has an aspect when it is at most this many pixels off: sizes are whole and even.
ASPECT_TOLERANCE_PX = 1


@dataclass(frozen=True, slots=True)
class Zone:
    """The margins that a platform's own controls cover.

    They are shares of the picture's width (left, right) and height.
    """

    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0


@dataclass(frozen=True, slots=True)
class Fact:
    """The source of a group of a spec's numbers, and the day it was read.

    `checked_on` None: nobody has looked it up yet.
    """

    about: str
    source: str
    checked_on: date | None


@dataclass(frozen=True, slots=True)
class PlatformSpec:
    """One target of cuts.

    `width` x `height` is the largest picture that is made, in pixels; None is no limit. A clip in one of the aspects
    `keeps` is left in it. `min_short` is the least the shorter side may have; `max_long` the most the longer side may
    have for the picture to be left as it is. Times are in seconds, `max_bytes` in bytes of the file, `max_kbps` in
    kilobits per second of video. `gop_s` is the time between keyframes in what is encoded.

    A clip is left as it is when it has one of the `profiles` of H.264 and at most `max_gop_s` between keyframes and
    `max_b_frames` in a row (None: any), in closed groups where `closed_gop` says so. One longer than `max_s` is cut off
    there when the platform `trims`, else refused. `lufs` and `peak_dbtp` are the loudness aimed at, by ITU-R BS.1770.
    `facts` are the sources of all this.
    """

    name: str
    title: str
    width: int
    height: int
    keeps: tuple[Fraction, ...] = ()
    min_short: int = 0
    max_long: int | None = None
    min_fps: float = 1.0
    max_fps: float = 60.0
    min_s: float = 0.0
    max_s: float | None = None
    trims: bool = False
    max_bytes: int | None = None
    max_kbps: int | None = None
    profiles: tuple[str, ...] = ("baseline", "main", "high")
    gop_s: float = 1.0
    max_gop_s: float | None = None
    max_b_frames: int | None = None
    closed_gop: bool = False
    lufs: float = -14.0
    peak_dbtp: float = -1.0
    safe: Zone = Zone()
    facts: tuple[Fact, ...] = ()

    @property
    def aspect(self) -> Fraction:
        """Width divided by height."""
        return Fraction(self.width, self.height)

    @property
    def unverified(self) -> tuple[str, ...]:
        """The parts of this spec that nobody has looked up at their source.

        Empty when all of it was.
        """
        return tuple(fact.about for fact in self.facts if fact.checked_on is None)

    def aspect_for(self, width: int | Fraction, height: int | Fraction) -> Fraction:
        """Return the aspect of a cut of a picture of this size.

        It is the picture's own where the platform keeps it, else the spec's.
        """
        taken = (self.aspect, *self.keeps)
        return next((aspect for aspect in taken if has_aspect(width, height, aspect)), self.aspect)

    def numbers(self) -> dict[str, object]:
        """Return all that decides how a cut looks and sounds, as JSON values.

        Neither title nor sources are part of it.
        """
        values = {key: value for key, value in asdict(self).items() if key not in ("title", "facts")}
        return {**values, "keeps": [str(aspect) for aspect in self.keeps], "profiles": list(self.profiles)}


def has_aspect(width: int | Fraction, height: int | Fraction, aspect: Fraction) -> bool:
    """Return whether a picture has the aspect, to a pixel."""
    off = min(abs(width - height * aspect), abs(height - width / aspect))
    return off <= ASPECT_TOLERANCE_PX
