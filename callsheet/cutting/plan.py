"""Planning a cut: which part of a clip becomes which picture size, and the ffmpeg arguments that make it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from callsheet.cutting.crop import even, largest_crop, place
from callsheet.errors import MediaError
from callsheet.media.ffmpeg import INPUT, ffmpeg_exe
from callsheet.media.loudness import STEREO, Loudness, gain_db
from callsheet.media.probe import VideoProbe

CUT_SPECS = {
    "9x16": Fraction(9, 16),
    "4x5": Fraction(4, 5),
    "1x1": Fraction(1),
    "16x9": Fraction(16, 9),
}
MIN_SIDE = 64
# Widths of the short side that cuts are scaled to; a smaller clip keeps its own.
_CLASSES = (1080, 720)
_RATES = (24, 25, 30, 50, 60)
_LIMITER = "alimiter=limit=0.891:level=false:latency=true"  # -1 dBFS


@dataclass(frozen=True, slots=True)
class CutPlan:
    """How a cut is made. "copy" keeps the video packets; "crop" scales `crop` (x, y, w, h in upright pixels).

    `lead_s` is when the first picture appears in the clip: it becomes time zero of the cut. `rate` is the constant
    frame rate to impose, None to keep the clip's own. `from_bt601`: colours are converted to BT.709; untagged clips are
    taken for BT.709, as players do. `gain_db` is None when the clip has no audio; the cut then has
    none either, for platforms take silent video and an invented track would not be the clip's.
    """

    spec: str
    how: Literal["copy", "crop"]
    crop: tuple[int, int, int, int] | None
    width: int
    height: int
    duration_s: float
    gain_db: float | None
    rate: int | None = None
    lead_s: float = 0.0
    from_bt601: bool = False


def plan_cut(
    probe: VideoProbe, spec: str, loudness: Loudness | None = None, focus: tuple[float, float] = (0.5, 0.5)
) -> CutPlan:
    """The plan of a cut; MediaError for an unknown spec or a clip that cannot be cut.

    A clip that already has the aspect (to a pixel) in upright square pixels of H.264 4:2:0 is copied in its own size;
    else the largest part with the aspect whose centre is nearest to `focus` (x, y as shares of the upright picture)
    is scaled to the class of the clip's short side, at most 1080.
    """
    aspect = CUT_SPECS.get(spec)
    if aspect is None:
        raise MediaError(f"There is no cut {spec!r}. Choose from {', '.join(CUT_SPECS)}.")
    width, height, sar = _upright(probe)
    gain = None if probe.audio_codec is None else gain_db(loudness)
    lead = round(max(0.0, probe.video_start_s), 6)
    if _can_copy(probe, aspect):
        return CutPlan(spec, "copy", None, probe.width, probe.height, probe.duration_s, gain, None, lead)
    crop = _crop(width, height, aspect / sar, focus)
    short = min(width * max(sar, Fraction(1)), height / min(sar, Fraction(1)))
    target = _target(int(short), aspect)
    rate = None if probe.constant_rate and probe.fps <= _RATES[-1] else _nearest_rate(probe.fps)
    return CutPlan(spec, "crop", crop, *target, probe.duration_s, gain, rate, lead, probe.colours == "bt601")


def _upright(probe: VideoProbe) -> tuple[int, int, Fraction]:
    if probe.rotation is None:
        raise MediaError("The clip is mirrored or slanted by its metadata. Re-encode it upright, then cut it.")
    if probe.colours == "bt2020":
        raise MediaError("The clip is in the wide colours of BT.2020 (HDR). Convert it to BT.709, then cut it.")
    width, height, sar = probe.width, probe.height, probe.sar
    if probe.rotation in (90, 270):
        width, height, sar = height, width, 1 / sar
    if min(width, height) < MIN_SIDE or not Fraction(1, 4) <= sar <= 4:
        raise MediaError(
            f"The clip has {width}x{height} pixels of shape {sar}; at least {MIN_SIDE} px a side are needed."
        )
    return width, height, sar


def _can_copy(probe: VideoProbe, aspect: Fraction) -> bool:
    fits = abs(probe.width - probe.height * aspect) <= 1 or abs(probe.height - probe.width / aspect) <= 1
    plain = probe.video_codec == "h264" and probe.pix_fmt == "yuv420p" and probe.rotation == 0 and probe.sar == 1
    return fits and plain and probe.constant_rate and probe.fps <= _RATES[-1]


def _crop(width: int, height: int, aspect: Fraction, focus: tuple[float, float]) -> tuple[int, int, int, int]:
    """The largest even box of the aspect (of stored pixels), to less than a pixel; near `focus`, inside the frame."""
    w, h = largest_crop(width, height, aspect)
    return place(width, w, focus[0]), place(height, h, focus[1]), w, h


def _target(short: int, aspect: Fraction) -> tuple[int, int]:
    base = next((size for size in _CLASSES if short >= size), short // 2 * 2)
    return (base, even(base / aspect)) if aspect <= 1 else (even(base * aspect), base)


def _nearest_rate(fps: float) -> int:
    return min(_RATES, key=lambda rate: abs(rate - fps))


def cut_argv(plan: CutPlan, source: Path, target: Path) -> list[str]:
    """The ffmpeg arguments that make the cut: no edit list, index first, picture and sound from time zero, one thread.

    The output is the same bytes for the same input and ffmpeg. Paths are made absolute and given as `file:`, so no
    name can be read as an option or a pattern.
    """
    argv = [ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", "error", "-xerror", "-y"]
    if plan.lead_s:
        argv += ["-itsoffset", f"-{plan.lead_s:.6f}"]
    argv += [*INPUT, f"file:{source.absolute()}", "-map", "0:v:0"]
    argv += ["-c:v", "copy"] if plan.how == "copy" else _video_argv(plan)
    argv += ["-an"] if plan.gain_db is None else _audio_argv(plan)
    # Edit lists are ruled out by YouTube and Instagram. Without one, B-frames need negative composition offsets, or
    # the picture starts two frames after the sound (measured with FFmpeg 9.0.2, 2026-11-21).
    argv += ["-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact"]
    argv += ["-movflags", "+faststart+negative_cts_offsets", "-use_editlist", "0", "-threads", "1"]
    return [*argv, "-f", "mp4", f"file:{target.absolute()}"]


def _video_argv(plan: CutPlan) -> list[str]:
    filters = [f"fps={plan.rate}"] if plan.rate else []
    if plan.crop:
        x, y, w, h = plan.crop
        filters.append(f"crop={w}:{h}:{x}:{y}")
    convert = ":in_color_matrix=bt601:out_color_matrix=bt709" if plan.from_bt601 else ""
    filters += [f"scale={plan.width}:{plan.height}:flags=bicubic{convert}", "setsar=1"]
    # Colour tags come from the filter: the output options for them were lost in FFmpeg 9 (measured 2026-11-21).
    filters.append("setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709")
    quality = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-profile:v", "high", "-bf", "2"]
    return ["-vf", ",".join(filters), *quality, "-g", "24", "-flags:v", "+cgop+bitexact", "-pix_fmt", "yuv420p"]


def _audio_argv(plan: CutPlan) -> list[str]:
    # Sound before the first picture is dropped, a late start is filled with silence, and it ends with the picture.
    filters = [STEREO, "aresample=async=1:first_pts=0", f"atrim=end={plan.duration_s:.6f}"]
    if plan.gain_db:
        filters += [f"volume={plan.gain_db:.1f}dB", _LIMITER]
    codec = ["-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "2", "-flags:a", "+bitexact"]
    return ["-map", "0:a:0", "-af", ",".join(filters), *codec]
