"""Fitness of a clip for a platform, and what has to be changed otherwise. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from callsheet.cuts.framing.geometry import Subject
from callsheet.errors import MediaError
from callsheet.media.facts import VideoPackets, VideoProbe
from callsheet.platforms import PlatformSpec
from callsheet.platforms.spec import has_aspect

MIN_SIDE = 64
UNKNOWN = Subject((), "centre", "the subject was not looked for")


@dataclass(frozen=True, slots=True)
class Analysis:
    """The facts of a clip, how its video is packed, and where its subject is."""

    probe: VideoProbe
    packets: VideoPackets
    subject: Subject = UNKNOWN


@dataclass(frozen=True, slots=True)
class Upright:
    """A clip's picture as it is shown: stored pixels after turning.

    `sar` is the shape of a pixel.
    """

    width: int
    height: int
    sar: Fraction

    @property
    def shown(self) -> tuple[Fraction, Fraction]:
        """The width and height in square pixels, the shorter stored side kept."""
        return self.width * max(self.sar, Fraction(1)), self.height / min(self.sar, Fraction(1))


def upright(probe: VideoProbe) -> Upright:
    """Return the clip's picture as it is shown.

    MediaError for one that cannot be cut: mirrored, tiny, or of strange pixels.
    """
    if probe.rotation is None:
        raise MediaError("The clip is mirrored or slanted by its metadata. Re-encode it upright, then cut it.")
    width, height, sar = probe.width, probe.height, probe.sar
    if probe.rotation in (90, 270):
        width, height, sar = height, width, 1 / sar
    if min(width, height) < MIN_SIDE or not Fraction(1, 4) <= sar <= 4:
        raise MediaError(
            f"The clip has {width}x{height} pixels of shape {sar}; at least {MIN_SIDE} px a side are needed."
        )
    return Upright(width, height, sar)


# A clip may be so much shorter or longer than a limit, seconds: times in a file are rounded.
_SLACK_S = 0.01
# Sound of 128 kb/s and the file's index are left room for; below the least rate even 360p is unsightly. Level 4.2 of
# H.264 ends at 62.5 Mb/s; grain at 1080p takes more at most for moments.
_SOUND_KBPS, _PICTURE_SHARE, _LEAST_KBPS, _MOST_KBPS = 140, 0.98, 150, 200_000
_RATES = (24, 25, 30, 50, 60)


def clip_length(probe: VideoProbe, spec: PlatformSpec, tail_s: float = 0.0) -> float:
    """Return how much of the clip is shown, in seconds.

    MediaError when the cut would be too short or too long.
    """
    whole_s = probe.duration_s + tail_s
    if whole_s < spec.min_s - _SLACK_S:
        raise MediaError(
            f"The cut would last {whole_s:.2f} s; {spec.title} takes videos from {spec.min_s:g} s. Make the clip "
            f"longer (duration_s), add an end card, or leave {spec.name} out of its cuts."
        )
    if spec.max_s is None or whole_s <= spec.max_s + _SLACK_S:
        return probe.duration_s
    shown_s = spec.max_s - tail_s
    if not spec.trims or shown_s <= 0:
        raise MediaError(
            f"The cut would last {whole_s:.2f} s; {spec.title} takes videos up to {spec.max_s:g} s. Make the clip "
            f"shorter (duration_s), leave {spec.name} out of its cuts, or set `trims: true` for it in a file of "
            "platforms of your own (CALLSHEET_PLATFORMS)."
        )
    return shown_s


def fitting_rate(clip: Analysis, spec: PlatformSpec) -> int | None:
    """Return the constant frame rate to impose on a clip; None to keep its own.

    It is the nearest usual one that the platform takes.
    """
    fps = clip.probe.fps
    if _is_constant(clip) and spec.min_fps <= fps <= spec.max_fps:
        return None
    usual = [rate for rate in _RATES if spec.min_fps <= rate <= spec.max_fps]
    return min(usual or [math.ceil(spec.min_fps)], key=lambda rate: abs(rate - fps))


def max_kbps(spec: PlatformSpec, duration_s: float) -> int | None:
    """Return the most that the encoder may spend, kilobits per second.

    So that bitrate and file size stay within limits; None: no limit. The encoder's buffer is one second long, and what
    is in it comes on top of the rate. MediaError when the file could only be small enough with a picture that nobody
    would post.
    """
    limits = [spec.max_kbps] if spec.max_kbps else []
    if spec.max_bytes:
        limits.append(int(spec.max_bytes * 8 / 1000 / duration_s * _PICTURE_SHARE) - _SOUND_KBPS)
    if not limits:
        return None
    kbps = int(min(limits) * duration_s / (duration_s + 1))
    if kbps < _LEAST_KBPS:
        raise MediaError(
            f"A cut of {duration_s:.2f} s would get {max(0, kbps)} kb/s to fit what {spec.title} takes; below "
            f"{_LEAST_KBPS} kb/s it is not worth making. Make the clip shorter, or leave {spec.name} out of its cuts."
        )
    return kbps if kbps < _MOST_KBPS else None


def why_not_copied(clip: Analysis, spec: PlatformSpec, clip_s: float) -> str:
    """Describe what of the clip does not fit the platform; "" when all of it does.

    As the end of "It is encoded anew: ...".
    """
    return "; ".join([*_check_picture(clip, spec), *_check_packing(clip, spec), *_check_length(clip, spec, clip_s)])


def _is_constant(clip: Analysis) -> bool:
    return clip.probe.constant_rate and clip.packets.even


def _check_picture(clip: Analysis, spec: PlatformSpec) -> Iterator[str]:
    probe = clip.probe
    size = f"{probe.width}x{probe.height}"
    if probe.rotation != 0 or probe.sar != 1:
        yield "it is turned, or its pixels are not square"
    if probe.interlaced:
        yield "it is interlaced"
    if not has_aspect(probe.width, probe.height, spec.aspect_for(probe.width, probe.height)):
        yield f"{size} is not {spec.aspect.numerator}:{spec.aspect.denominator}"
    if min(probe.width, probe.height) < spec.min_short:
        yield f"{size} has less than {spec.min_short} px"
    if spec.max_long is not None and max(probe.width, probe.height) > spec.max_long:
        yield f"{size} has more than {spec.max_long} px"
    if probe.colours in ("bt2020", "pq", "hlg"):
        yield "its colours are wider than BT.709"
    if fitting_rate(clip, spec) is not None:
        yield f"its frame rate ({probe.fps:.2f}{'' if _is_constant(clip) else ', not constant'}) does not fit"


def _check_packing(clip: Analysis, spec: PlatformSpec) -> Iterator[str]:
    probe, packets = clip.probe, clip.packets
    if probe.video_codec != "h264" or probe.pix_fmt != "yuv420p" or packets.profile not in spec.profiles:
        yield f"it is {probe.video_codec} {packets.profile} {probe.pix_fmt}".replace("  ", " ")
    if spec.max_gop_s is not None and packets.max_gop_s > spec.max_gop_s + _SLACK_S:
        yield f"its keyframes are {packets.max_gop_s:.2f} s apart"
    if spec.closed_gop and not packets.closed:
        yield "its groups of pictures are open"
    if spec.max_b_frames is not None and packets.b_frames > spec.max_b_frames:
        yield f"it has {packets.b_frames} B-frames in a row"
    if spec.max_kbps is not None and packets.kbps > spec.max_kbps:
        yield f"it has {packets.kbps:.0f} kb/s"


def _check_length(clip: Analysis, spec: PlatformSpec, clip_s: float) -> Iterator[str]:
    if clip_s < clip.probe.duration_s:
        yield f"it is cut off after {clip_s:g} s"
    if spec.max_bytes is not None and clip.probe.size > spec.max_bytes:
        yield f"it has {clip.probe.size} bytes"
