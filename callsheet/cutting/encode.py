"""Making cuts: run the encoder, look at what came out, keep it only if it is what was planned."""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from callsheet.cutting.plan import CutPlan, cut_argv, plan_cut
from callsheet.errors import MediaError
from callsheet.media.atomic import replacing
from callsheet.media.ffmpeg import run_encoder
from callsheet.media.loudness import Loudness, measure_loudness
from callsheet.media.probe import VideoProbe, probe_video
from callsheet.media.provenance import stamp_mp4

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CutResult:
    """A cut that was made and checked: its plan, what it is, and how loud the clip was (None without audio)."""

    plan: CutPlan
    probe: VideoProbe
    loudness: Loudness | None


async def make_cut(
    source: Path,
    spec: str,
    target: Path,
    encoders: asyncio.Semaphore | None = None,
    *,
    focus: tuple[float, float] = (0.5, 0.5),
    xmp: str | None = None,
) -> CutResult:
    """Cut the MP4 `source` to `spec` and write it to `target`, which appears only whole and checked.

    `xmp` is stamped into it before it appears. `encoders` bounds how many encoders run at once. Cancelling stops the
    encoder. MediaError when the clip cannot be read or cut, or the result is not what was planned; `target` is then
    untouched.
    """
    clip = await asyncio.to_thread(probe_video, source)
    plan_cut(clip, spec, None, focus)  # what cannot be cut is refused before anything runs
    timeout_s = 120.0 + 30.0 * clip.duration_s
    async with encoders or nullcontext():
        loudness = await measure_loudness(source, timeout_s) if clip.audio_codec else None
        plan = plan_cut(clip, spec, loudness, focus)
        with replacing(target) as part:
            await run_encoder(cut_argv(plan, source, part), timeout_s)
            probe = await asyncio.to_thread(probe_video, part)
            check_cut(plan, clip, probe)
            if xmp is not None:
                await asyncio.to_thread(stamp_mp4, part, xmp)
    log.info(
        "cut %s of %s: %s to %dx%d, gain %s dB", spec, source.name, plan.how, plan.width, plan.height, plan.gain_db
    )
    return CutResult(plan, probe, loudness)


def check_cut(plan: CutPlan, clip: VideoProbe, cut: VideoProbe) -> None:
    """Raise MediaError, naming every difference, unless `cut` is what `plan` makes of `clip`."""
    frame_s = 1 / min(clip.fps, cut.fps)
    late = max(abs(cut.video_start_s), abs(cut.audio_start_s or 0.0))
    wrong = [
        text
        for is_wrong, text in (
            ((cut.width, cut.height) != (plan.width, plan.height), f"is {cut.width}x{cut.height} px"),
            (abs(cut.duration_s - plan.duration_s) > frame_s + 0.05, f"lasts {cut.duration_s:.3f} s"),
            (cut.video_codec != "h264" or cut.pix_fmt != "yuv420p", f"is {cut.video_codec} {cut.pix_fmt}"),
            (cut.audio_codec != (None if plan.gain_db is None else "aac"), f"has audio {cut.audio_codec}"),
            (cut.has_edit_list, "has an edit list"),
            (not cut.moov_first, "has its index at the end"),
            (cut.rotation != 0 or cut.sar != 1, "is turned or has pixels that are not square"),
            (late > 0.001, f"starts {late:.3f} s late"),
        )
        if is_wrong
    ]
    if wrong:
        planned = f"{plan.width}x{plan.height} px, {plan.duration_s:.3f} s"
        raise MediaError(
            f"The cut {plan.spec} is not what was planned ({planned}): it {'; '.join(wrong)}. Nothing was kept."
        )
