"""What is measured of pictures and videos, as values."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

MAX_DURATION_S = 900.0
Colours = Literal["bt709", "bt601", "bt2020", "pq", "hlg"]


@dataclass(frozen=True, slots=True)
class ImageProbe:
    """A picture that is whole.

    Pixels as stored, `format` one of ANSWER_FORMATS or "HEIC", size in bytes.
    """

    width: int
    height: int
    mime_type: str
    format: str
    size: int


@dataclass(frozen=True, slots=True)
class VideoProbe:
    """A video as stored, before rotation.

    Times are in seconds, `size` in bytes, `sar` is the shape of a pixel. `video_start_s` and `audio_start_s` count from
    the start of the file. `rotation` is in degrees clockwise, None when mirrored or slanted. `colours` is "bt709",
    "bt601", "bt2020", the HDR of "pq" or "hlg", or None when untagged. `constant_rate` is False when frames last
    unequally long. `interlaced`: each frame shows two moments, line by line.
    """

    width: int
    height: int
    duration_s: float
    fps: float
    frames: int | None
    video_codec: str
    pix_fmt: str
    audio_codec: str | None
    sample_rate: int | None
    channels: int | None
    size: int
    has_edit_list: bool
    moov_first: bool
    rotation: int | None = 0
    colours: Colours | None = None
    sar: Fraction = Fraction(1)
    constant_rate: bool = True
    video_start_s: float = 0.0
    audio_start_s: float | None = None
    interlaced: bool = False


@dataclass(frozen=True, slots=True)
class VideoPackets:
    """The packing of a video stream.

    `profile` and `level` (41 is 4.1) are those of H.264, "" and 0 for others. `max_gop_s` is the longest time from one
    keyframe to the next, or to the end; `closed` whether no picture needs one from before its own keyframe; `b_frames`
    the most of them in a row; `kbps` the video's bits over its whole time; `even` whether all pictures but the last are
    shown equally long.
    """

    profile: str
    level: int
    frames: int
    kbps: float
    max_gop_s: float
    closed: bool
    b_frames: int
    even: bool = True


@dataclass(frozen=True, slots=True)
class FrameScore:
    """The technical measures of one picture.

    `luma`: mean 0-255. `clipped`: larger share of lost shadows or highlights, 0-1. `entropy`: bits of luma, 0-8.
    `sharpness`: variance of the Laplacian. `contrast`: standard deviation of luma. `colourfulness`: Hasler and
    Suesstrunk (2003). `dhash`: 64-bit difference hash.
    """

    luma: float
    clipped: float
    entropy: float
    sharpness: float
    contrast: float
    colourfulness: float
    dhash: int
