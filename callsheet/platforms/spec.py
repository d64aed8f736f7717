"""The spec of a platform, as a value and as a file gives it.

What the platform takes, and what a cut made for it is like. Files are checked by pydantic: unknown fields are errors,
every group names its source.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

# A picture has an aspect when it is at most this many pixels off: sizes are whole and even.
ASPECT_TOLERANCE_PX = 1
# The aspects that clips are cut to where no platform is named.
PLAIN = ("9x16", "4x5", "1x1", "16x9")
# A name becomes part of file names, so it holds neither a hyphen nor a dot.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]{0,29}$")]
Ratio = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,2}:[1-9]\d{0,2}$")]
Side = Annotated[int, Field(ge=64, le=4096, multiple_of=2)]
Seconds = Annotated[float, Field(ge=0, le=43_200)]
Rate = Annotated[float, Field(ge=1, le=120)]
Share = Annotated[float, Field(ge=0, le=0.45)]


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


class _Group(BaseModel):
    """Numbers of one kind, with where and when they were read.

    None: nobody has looked them up yet.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Annotated[str, Field(min_length=1, max_length=300)]
    checked_on: date | None


class SizeRecord(_Group):
    """The size of the picture, in pixels."""

    width: Side
    height: Side
    keeps: Annotated[tuple[Ratio, ...], Field(max_length=10)] = ()
    min_short: Annotated[int, Field(ge=0, le=4096, multiple_of=2)] = 0
    max_long: Annotated[int, Field(ge=64, le=8192)] | None = None

    @model_validator(mode="after")
    def _check_possible(self) -> Self:
        if self.min_short > min(self.width, self.height):
            raise ValueError("min_short is more than the shorter of width and height")
        if self.max_long is not None and self.max_long < max(self.width, self.height):
            raise ValueError("max_long is less than the longer of width and height")
        return self


class FpsRecord(_Group):
    """Frames per second."""

    min: Rate = 1.0
    max: Rate = 60.0

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.min > self.max:
            raise ValueError("min is more than max")
        return self


class DurationRecord(_Group):
    """The duration, in seconds."""

    min_s: Seconds = 0.0
    max_s: Annotated[float, Field(gt=0, le=43_200)] | None = None
    trims: bool = False

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.max_s is not None and self.min_s > self.max_s:
            raise ValueError("min_s is more than max_s")
        return self


class VideoRecord(_Group):
    """The packing of H.264."""

    max_kbps: Annotated[int, Field(ge=150, le=1_000_000)] | None = None
    gop_s: Annotated[float, Field(ge=0.1, le=10)] = 1.0
    profiles: Annotated[tuple[Literal["baseline", "main", "high"], ...], Field(min_length=1)] = (
        "baseline",
        "main",
        "high",
    )
    max_gop_s: Annotated[float, Field(ge=0.1, le=60)] | None = None
    max_b_frames: Annotated[int, Field(ge=2, le=16)] | None = None  # callsheet's own encodes have two
    closed_gop: bool = False

    @model_validator(mode="after")
    def _check_possible(self) -> Self:
        if self.max_gop_s is not None and self.gop_s > self.max_gop_s:
            raise ValueError("gop_s is more than max_gop_s")
        if "high" not in self.profiles:
            raise ValueError("profiles must hold high: it is what callsheet encodes")
        return self


class PlatformsFile(_Group):
    """The size of the file, in bytes."""

    max_bytes: Annotated[int, Field(ge=100_000, le=10**12)] | None = None


class LoudnessRecord(_Group):
    """The loudness, by ITU-R BS.1770."""

    lufs: Annotated[float, Field(ge=-40, le=-5)]
    peak_dbtp: Annotated[float, Field(ge=-12, le=0)]


class SafeRecord(_Group):
    """The margins, as shares of width and height."""

    left: Share = 0.0
    top: Share = 0.0
    right: Share = 0.0
    bottom: Share = 0.0


class PlatformRecord(BaseModel):
    """One platform after inheritance."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Annotated[str, Field(min_length=1, max_length=60)]
    size: SizeRecord
    loudness: LoudnessRecord
    fps: FpsRecord | None = None
    duration: DurationRecord | None = None
    video: VideoRecord | None = None
    file: PlatformsFile | None = None
    safe: SafeRecord | None = None


class PlatformsRecord(BaseModel):
    """A whole file after overlay and inheritance."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    platforms: Annotated[dict[Name, PlatformRecord], Field(max_length=200)]
