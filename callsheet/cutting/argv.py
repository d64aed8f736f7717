"""The ffmpeg arguments of a cut. Pure: the same plan gives the same arguments."""

from __future__ import annotations

from pathlib import Path

from callsheet.cutting.graph import picture_filters
from callsheet.cutting.plan import CutPlan
from callsheet.finishing.layers import overlay_graph
from callsheet.media.ffmpeg import INPUT, PROGRESS, ffmpeg_exe

# Medium needs 2.2 times the CPU for no smaller a file, ultrafast three times the size (measured 2026-11-21).
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-profile:v", "high", "-bf", "2"]


def cut_argv(plan: CutPlan, source: Path, target: Path, sound: Path | None = None) -> list[str]:
    """The arguments that make the cut: no edit list, index first, picture and sound from time zero, one thread.

    `sound` is the finished AAC file that the cut takes as it is. The output is the same bytes for the same input and
    ffmpeg. Paths are made absolute and given as `file:`, so no name can be read as an option or a pattern.
    """
    argv = [ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", "error", "-xerror", "-y", *PROGRESS]
    if plan.lead_s:
        argv += ["-itsoffset", f"-{plan.lead_s:.6f}"]
    argv += [*INPUT, f"file:{source.absolute()}"]
    argv += [*INPUT, f"file:{sound.absolute()}"] if sound else []
    argv += ["-map", "0:v:0", "-c:v", "copy"] if plan.how == "copy" else _video_argv(plan, 2 if sound else 1)
    argv += ["-map", "1:a:0", "-c:a", "copy"] if sound else ["-an"]
    # Edit lists are ruled out by YouTube and Instagram. Without one, B-frames need negative composition offsets, or
    # the picture starts two frames after the sound (measured with FFmpeg 9.0.2, 2026-11-21).
    argv += ["-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact"]
    argv += ["-movflags", "+faststart+negative_cts_offsets", "-use_editlist", "0", "-threads", "1"]
    return [*argv, "-f", "mp4", f"file:{target.absolute()}"]


def _video_argv(plan: CutPlan, first_input: int) -> list[str]:
    gop = max(1, round(plan.fps * plan.spec.gop_s))
    bounds = ["-maxrate", f"{plan.max_kbps}k", "-bufsize", f"{plan.max_kbps}k"] if plan.max_kbps else []
    quality = [*X264, *bounds, "-g", str(gop), "-flags:v", "+cgop+bitexact", "-pix_fmt", "yuv420p"]
    if not plan.layers:
        return ["-map", "0:v:0", "-vf", picture_filters(plan), *quality]
    inputs, overlays, outcome = overlay_graph(plan.layers, "picture", first_input)
    graph = f"[0:v:0]{picture_filters(plan)}[picture];{overlays}"
    # One thread for the graph too, so that the memory of a cut does not grow with the cores.
    return [*inputs, "-filter_complex_threads", "1", "-filter_complex", graph, "-map", f"[{outcome}]", *quality]
