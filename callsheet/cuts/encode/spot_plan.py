"""The plan of a spot of several clips, and its ffmpeg arguments. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from callsheet.cuts.encode.graph import DEINTERLACE, X264
from callsheet.errors import MediaError
from callsheet.media.facts import MAX_DURATION_S, VideoProbe
from callsheet.media.ffmpeg import INPUT, ffmpeg_exe

MAX_PARTS = 100
# All parts of a spot with crossfades are open at once.
MAX_FADED_PARTS = 20
_TAGS = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709"
_RATES = (24, 25, 30, 50, 60)


@dataclass(frozen=True, slots=True)
class SpotPart:
    """A clip or cut to be joined.

    `packing` is how its decoder is set up (avcC): a copied spot has one for all.
    """

    file: Path
    probe: VideoProbe
    packing: bytes

    @property
    def lead_s(self) -> float:
        """The time at which its first picture appears, in seconds."""
        return max(0.0, self.probe.video_start_s)


@dataclass(frozen=True, slots=True)
class SpotPlan:
    """The way a spot is made.

    "copy" keeps the video packets; "encode" makes all parts of one size and rate. `why` says in a sentence why it is
    not copied, "" when it is. `frames` are those of each part; neighbours share `crossfade_s` seconds.
    """

    how: Literal["copy", "encode"]
    why: str
    width: int
    height: int
    fps: float
    frames: tuple[int, ...]
    crossfade_s: float = 0.0

    @property
    def lengths_s(self) -> tuple[float, ...]:
        """The length of each part in seconds."""
        return tuple(count / self.fps for count in self.frames)

    @property
    def duration_s(self) -> float:
        """The length of the spot in seconds."""
        return sum(self.lengths_s) - self.crossfade_s * (len(self.frames) - 1)


def plan_spot(parts: Sequence[SpotPart], crossfade_s: float = 0.0, max_s: float = MAX_DURATION_S) -> SpotPlan:
    """Plan a spot of these parts in their order.

    MediaError when they cannot be joined, or last over `max_s` seconds. Size and rate are those of the first part. A
    crossfade lasts whole frames.
    """
    most = MAX_FADED_PARTS if crossfade_s else MAX_PARTS
    if not 2 <= len(parts) <= most:
        raise MediaError(f"A spot {'with crossfades ' if crossfade_s else ''}has 2 to {most} parts, not {len(parts)}.")
    for part in parts:
        if part.probe.rotation is None or part.probe.colours == "bt2020":
            raise MediaError(
                f"{part.file.name} is mirrored or in HDR, which is not joined. Cut it first, then join cuts."
            )
    first = parts[0].probe
    why = "Its parts fade into each other." if crossfade_s else _describe_difference(parts)
    turned = first.rotation in (90, 270)
    width, height = (first.height, first.width) if turned else (first.width, first.height)
    fps = first.fps if not why or (first.constant_rate and first.fps <= _RATES[-1]) else _choose_rate(first.fps)
    frames = tuple(part.probe.frames or 0 if not why else max(1, round(part.probe.duration_s * fps)) for part in parts)
    fade_s = round(crossfade_s * fps) / fps
    plan = SpotPlan("encode" if why else "copy", why, width // 2 * 2, height // 2 * 2, fps, frames, fade_s)
    if fade_s and min(plan.lengths_s) < 2 * fade_s:
        shortest = min(plan.lengths_s)
        raise MediaError(f"A crossfade of {crossfade_s:g} s is too long for a part of {shortest:.2f} s; at most half.")
    if plan.duration_s > max_s + 0.05:
        raise MediaError(
            f"The spot would last {plan.duration_s:.1f} s; at most {max_s:g} s are taken. Join fewer parts."
        )
    return plan


def _describe_difference(parts: Sequence[SpotPart]) -> str:
    """Describe why the parts cannot be joined as they are; "" when they can."""
    first = parts[0]
    for part in parts:
        one, name = part.probe, part.file.name
        if one.video_codec != "h264" or one.pix_fmt != "yuv420p" or one.rotation or one.sar != 1:
            return f"{name} is not upright H.264 of square pixels."
        if one.interlaced:
            return f"{name} is interlaced."
        if not one.constant_rate or not one.frames or part.lead_s > 0.001:
            return f"{name} has frames of unequal length, or begins late."
        if (one.width, one.height, one.fps) != (first.probe.width, first.probe.height, first.probe.fps):
            return f"{name} has another size or frame rate than {first.file.name}."
        if part.packing != first.packing:
            return f"{name} was encoded with other settings than {first.file.name}."
    return ""


def _choose_rate(fps: float) -> float:
    return float(min(_RATES, key=lambda rate: abs(rate - fps)))


def conform_argv(plan: SpotPlan, part: SpotPart, frames: int, target: Path) -> list[str]:
    """Build the arguments that make one part like the others, without sound."""
    argv = [*_build_head(), *_build_source(part), "-map", "0:v:0", "-vf", _build_conforming(plan, part, frames)]
    return [*argv, *_build_encoding(plan), "-an", *_build_output(target)]


def fade_argv(plan: SpotPlan, parts: Sequence[SpotPart], target: Path) -> list[str]:
    """Build the arguments that make the picture of a spot with crossfades.

    Without sound.
    """
    argv, chains = _build_head(), []
    for number, (part, frames) in enumerate(zip(parts, plan.frames, strict=True)):
        argv += _build_source(part)
        chains.append(f"[{number}:v:0]{_build_conforming(plan, part, frames)}[v{number}]")
    before, at_s = "v0", 0.0
    for number in range(1, len(parts)):
        at_s += plan.lengths_s[number - 1] - plan.crossfade_s
        fade = f"xfade=transition=fade:duration={plan.crossfade_s:.6f}:offset={at_s:.6f}"
        chains.append(f"[{before}][v{number}]{fade}[x{number}]")
        before = f"x{number}"
    argv += ["-filter_complex_threads", "1", "-filter_complex", ";".join(chains), "-map", f"[{before}]"]
    return [*argv, *_build_encoding(plan), "-an", *_build_output(target)]


def join_argv(reel: Path, sound: Path | None, target: Path) -> list[str]:
    """Build the arguments that join what the list `reel` names, without encoding.

    The finished sound is laid to it.
    """
    # The list was written here: its names are plain and beside it. Converting would put parameter sets into packets.
    argv = [
        *_build_head(),
        "-protocol_whitelist",
        "file",
        "-f",
        "concat",
        "-auto_convert",
        "0",
        "-i",
        f"file:{reel.absolute()}",
    ]
    argv += [*INPUT, f"file:{sound.absolute()}"] if sound else []
    argv += ["-map", "0:v:0", "-c:v", "copy", *(["-map", "1:a:0", "-c:a", "copy"] if sound else ["-an"])]
    return [*argv, *_build_output(target)]


def reel_text(plan: SpotPlan, names: Sequence[str]) -> str:
    """Build the list for `join_argv`.

    It has the lengths, or a part's sound would push the next picture back.
    """
    lengths = plan.lengths_s if len(names) == len(plan.frames) else (plan.duration_s,)
    entries = [f"file {name}\nduration {length:.6f}" for name, length in zip(names, lengths, strict=True)]
    return "\n".join(["ffconcat version 1.0", *entries, ""])


def _build_head() -> list[str]:
    return [ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", "error", "-xerror", "-y"]


def _build_source(part: SpotPart) -> list[str]:
    lead = ["-itsoffset", f"-{part.lead_s:.6f}"] if part.lead_s else []
    return ["-threads", "1", *lead, *INPUT, f"file:{part.file.absolute()}"]


def _build_conforming(plan: SpotPlan, part: SpotPart, frames: int) -> str:
    matrix = ":in_color_matrix=bt601:out_color_matrix=bt709" if part.probe.colours == "bt601" else ""
    return ",".join((
        *([DEINTERLACE] if part.probe.interlaced else ()),
        f"fps={plan.fps:.6f}",
        f"tpad=stop_mode=clone:stop=2,trim=end_frame={frames},setpts=PTS-STARTPTS",
        "scale=w=iw*sar:h=ih,setsar=1" if part.probe.sar != 1 else "setsar=1",
        f"scale={plan.width}:{plan.height}:force_original_aspect_ratio=decrease:force_divisible_by=2:flags=bicubic{matrix}",
        f"pad={plan.width}:{plan.height}:(ow-iw)/4*2:(oh-ih)/4*2,setsar=1,format=yuv420p,{_TAGS}",
    ))  # fmt: skip


def _build_encoding(plan: SpotPlan) -> list[str]:
    gop = max(1, round(plan.fps))
    return [*X264, "-g", str(gop), "-flags:v", "+cgop+bitexact", "-pix_fmt", "yuv420p"]


def _build_output(target: Path) -> list[str]:
    # Without edit lists, as cuts are.
    flags = ["-movflags", "+faststart+negative_cts_offsets", "-use_editlist", "0", "-fflags", "+bitexact"]
    return [
        "-map_metadata",
        "-1",
        "-map_chapters",
        "-1",
        *flags,
        "-threads",
        "1",
        "-f",
        "mp4",
        f"file:{target.absolute()}",
    ]
