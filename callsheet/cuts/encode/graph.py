"""Filters that turn a clip's picture into a cut's. Pure: values to ffmpeg's text.

Everything in the text is a number or a word of ours: no string of a manifest ever reaches it.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from callsheet.cuts.encode.cut_plan import CutPlan
from callsheet.cuts.finishing.layers import overlay_graph
from callsheet.cuts.framing.geometry import Framing, even
from callsheet.media.ffmpeg import INPUT, PROGRESS, ffmpeg_exe

# Colour tags come from the filter: the output options for them were lost in FFmpeg 9 (measured 2026-11-21).
_TAGS = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
# Transfers as setparams names them (FFmpeg 9.0.2). White of SDR is at 203 cd/m2 (ITU-R BT.2408).
_TRANSFERS = {"pq": "smpte2084", "hlg": "arib-std-b67", "bt2020": "bt709"}
_WHITE = 203
# Mobius leaves light up to 60 % of that white as it is and presses what is brighter, up to 1000 cd/m2, into the rest.
# Without these numbers 75 % bars come out at 158 of 191; Hable makes them darker still (measured 2026-11-21).
_TONE = "tonemap=tonemap=mobius:param=0.6:peak=4.926:desat=0"
# One picture of each interlaced one: moments and rate stay as they are. A picture that says it is whole is left alone.
DEINTERLACE = "bwdif=mode=send_frame:deint=interlaced"
# The blurred ground of a padded picture is made smaller by this factor first: a blur needs no detail and costs less so.
_GROUND = 8


def picture_filters(plan: CutPlan) -> str:
    """Build the chain from the clip's picture to the cut's, before its layers.

    It has one beginning and one end.
    """
    filters = [DEINTERLACE] if plan.interlaced else []
    filters += [f"fps={plan.rate}"] if plan.rate else []
    if plan.is_trimmed:
        filters.append(f"trim=end={plan.clip_s:.6f}")
    filters += [_build_padded(plan)] if plan.how == "pad" else _build_cropped(plan)
    filters += ["setsar=1", *_convert_to_bt709(plan), "format=yuv420p", _TAGS]
    if plan.tail_s:
        filters.append(f"tpad=stop_mode=clone:stop_duration={plan.tail_s:.6f}")
    return ",".join(filters)


def _build_cropped(plan: CutPlan) -> list[str]:
    scale = f"scale={plan.width}:{plan.height}:flags=bicubic{_convert_matrix(plan)}"
    return [*([_build_crop(plan.framing)] if plan.framing else []), scale]


def _build_crop(framing: Framing) -> str:
    x = moving([(key.at_s, key.x) for key in framing.path])
    y = moving([(key.at_s, key.y) for key in framing.path])
    return f"crop={framing.width}:{framing.height}:{x}:{y}"


def moving(keys: list[tuple[float, int]]) -> str:
    """Build an ffmpeg expression of the time `t` that goes straight from key to key.

    It stays at both ends. Where nothing moves it is a number.
    """
    steps = [
        f"+({after - before})*clip((t-{from_s:.6f})/{to_s - from_s:.6f},0,1)"
        for (from_s, before), (to_s, after) in pairwise(keys)
        if after != before and to_s > from_s
    ]
    # Flat rather than nested: ffmpeg bounds the depth of an expression.
    return f"'{keys[0][1]}{''.join(steps)}'" if steps else str(keys[0][1])


def _build_padded(plan: CutPlan) -> str:
    """Build the chain of the whole picture over a blurred copy that fills the frame.

    The picture is in the middle.
    """
    width, height = plan.width, plan.height
    small = f"{even(width / _GROUND)}:{even(height / _GROUND)}"
    ground = f"scale={small}:force_original_aspect_ratio=increase:flags=bilinear{_convert_matrix(plan)},crop={small}"
    inside = f"scale={plan.inner[0]}:{plan.inner[1]}:flags=bicubic{_convert_matrix(plan)},setsar=1"
    return (
        f"split[whole][copy];[copy]{ground},gblur=sigma=5,scale={width}:{height}:flags=bilinear,setsar=1[ground];"
        f"[whole]{inside}[inside];[ground][inside]overlay=(W-w)/2:(H-h)/2:format=auto"
    )


def _convert_matrix(plan: CutPlan) -> str:
    return ":out_range=tv" + (":in_color_matrix=bt601:out_color_matrix=bt709" if plan.colours == "bt601" else "")


def _convert_to_bt709(plan: CutPlan) -> list[str]:
    transfer = _TRANSFERS.get(plan.colours)
    if transfer is None:
        return []
    told = f"setparams=range=tv:color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc"
    linear = f"zscale=t=linear:npl={_WHITE},format=gbrpf32le,zscale=p=bt709"
    tone = [_TONE] if plan.colours != "bt2020" else []
    return [told, linear, *tone, "zscale=p=bt709:t=bt709:m=bt709:r=tv"]


# Medium needs 2.2 times the CPU for no smaller a file, ultrafast three times the size (measured 2026-11-21).
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-profile:v", "high", "-bf", "2"]


def cut_argv(plan: CutPlan, source: Path, target: Path, sound: Path | None = None) -> list[str]:
    """Build the ffmpeg arguments that make the cut.

    No edit list, index first, picture and sound from time zero, one thread. `sound` is the finished AAC file that the
    cut takes as it is. The output is the same bytes for the same input and ffmpeg. Paths are made absolute and given as
    `file:`, so no name can be read as an option or a pattern.
    """
    argv = [ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", "error", "-xerror", "-y", *PROGRESS]
    if plan.lead_s:
        argv += ["-itsoffset", f"-{plan.lead_s:.6f}"]
    argv += [*INPUT, f"file:{source.absolute()}"]
    argv += [*INPUT, f"file:{sound.absolute()}"] if sound else []
    argv += ["-map", "0:v:0", "-c:v", "copy"] if plan.how == "copy" else _build_video_argv(plan, 2 if sound else 1)
    argv += ["-map", "1:a:0", "-c:a", "copy"] if sound else ["-an"]
    # Edit lists are ruled out by YouTube and Instagram. Without one, B-frames need negative composition offsets, or
    # the picture starts two frames after the sound (measured with FFmpeg 9.0.2, 2026-11-21).
    argv += ["-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact"]
    argv += ["-movflags", "+faststart+negative_cts_offsets", "-use_editlist", "0", "-threads", "1"]
    return [*argv, "-f", "mp4", f"file:{target.absolute()}"]


def _build_video_argv(plan: CutPlan, first_input: int) -> list[str]:
    gop = max(1, round(plan.fps * plan.spec.gop_s))
    bounds = ["-maxrate", f"{plan.max_kbps}k", "-bufsize", f"{plan.max_kbps}k"] if plan.max_kbps else []
    quality = [*X264, *bounds, "-g", str(gop), "-flags:v", "+cgop+bitexact", "-pix_fmt", "yuv420p"]
    if not plan.layers:
        return ["-map", "0:v:0", "-vf", picture_filters(plan), *quality]
    inputs, overlays, outcome = overlay_graph(plan.layers, "picture", first_input)
    graph = f"[0:v:0]{picture_filters(plan)}[picture];{overlays}"
    # One thread for the graph too, so that the memory of a cut does not grow with the cores.
    return [*inputs, "-filter_complex_threads", "1", "-filter_complex", graph, "-map", f"[{outcome}]", *quality]
