"""Making of cuts: run the encoder, check the result, keep it only if as planned.

A clip in another container (WebM, say) becomes an MP4 first: cuts are made of no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from callsheet.cuts.encode.cut_plan import CutPlan, plan_cut
from callsheet.cuts.encode.fitness import UNKNOWN, Analysis
from callsheet.cuts.encode.graph import cut_argv
from callsheet.cuts.encode.quality import Quality, check_cut
from callsheet.cuts.finishing.layers import Layer
from callsheet.cuts.framing.geometry import Subject
from callsheet.cuts.sound.make import Sound, Sounds
from callsheet.cuts.sound.sound_plan import SoundSettings
from callsheet.errors import MediaError
from callsheet.files import replacing
from callsheet.media.containers import FOREIGN_CONTAINERS
from callsheet.media.facts import VideoProbe
from callsheet.media.ffmpeg import SMALL_MB, EncoderSlots, ffmpeg_exe, run_encoder
from callsheet.media.packets import read_packets
from callsheet.media.probe import container_of, probe_any, probe_video
from callsheet.media.provenance import stamp_mp4
from callsheet.platforms import PlatformSpec

log = logging.getLogger(__name__)
# Nobody sees a difference at this quality, and the cut is encoded from it once more.
_PICTURE = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-flags:v", "+bitexact", "-pix_fmt", "yuv420p"]
_SOUND = ["-c:a", "aac", "-b:a", "256k", "-flags:a", "+bitexact"]
_TIMEOUT_S, _PER_SECOND_S = 120.0, 30.0


@dataclass(frozen=True, slots=True)
class CutResult:
    """A cut that was made and checked.

    Its plan, what the check saw, and its sound (None: it has none).
    """

    plan: CutPlan
    quality: Quality
    sound: Sound | None

    @property
    def probe(self) -> VideoProbe:
        """The facts of the file."""
        return self.quality.probe


async def analyse(source: Path, *, subject: Subject = UNKNOWN) -> Analysis:
    """Read the facts of an MP4 without decoding it.

    MediaError when it cannot be read.
    """
    probe = await asyncio.to_thread(probe_video, source)
    packets = await asyncio.to_thread(read_packets, source)
    return Analysis(probe, packets, subject)


async def make_cut(
    source: Path,
    spec: PlatformSpec,
    target: Path,
    *,
    analysis: Analysis | None = None,
    layers: Sequence[Layer] = (),
    tail_s: float = 0.0,
    music: Path | None = None,
    sounds: Sounds | None = None,
    xmp: str | None = None,
    encoders: EncoderSlots | None = None,
) -> CutResult:
    """Cut the MP4 `source` for `spec` and write it to `target`.

    `target` appears only whole and checked. `analysis` and `sounds` of the clip are shared by its cuts; without them
    they are made for this one. `layers` are laid over the picture, whose size is `cut_size`; the last picture stays for
    `tail_s` seconds, under an end card. `xmp` is stamped into the file before it appears. `encoders` bounds how many
    encoders run at once. Cancelling stops the encoder. MediaError when the clip cannot be read or cut, or the result is
    not what was planned or not what the platform takes, with every reason; `target` is then untouched.
    """
    encoders = encoders or EncoderSlots()
    clip = analysis or await analyse(source)
    plan = plan_cut(clip, spec, layers=layers, tail_s=tail_s, music=music is not None)
    with TemporaryDirectory(prefix="callsheet-sound-") as folder:
        shelf = sounds or Sounds(source, Path(folder), encoders)
        sound = await shelf.get(sound_settings(plan, music), _timeout_s(plan)) if plan.has_sound else None
        with replacing(target) as part:
            async with encoders.take(memory_mb(plan, clip.probe)):
                argv = cut_argv(plan, source, part, sound.file if sound else None)
                await run_encoder(argv, _timeout_s(plan), partial(_tell, plan, source.name))
            quality = await asyncio.to_thread(check_cut, plan, clip.probe, sound, source, part)
            if xmp is not None:
                await asyncio.to_thread(stamp_mp4, part, xmp)
    log.debug("cut %s of %s: %s to %dx%d, %s", spec.name, source.name, plan.how, plan.width, plan.height, plan.reason)
    return CutResult(plan, quality, sound)


def sound_settings(plan: CutPlan, music: Path | None = None) -> SoundSettings:
    """Return the settings of the cut's sound: the platform's aim, as long as the cut."""
    spec = plan.spec
    return SoundSettings(plan.clip_s, plan.duration_s, spec.lufs, spec.peak_dbtp, plan.lead_s, music)


def memory_mb(plan: CutPlan, clip: VideoProbe) -> int:
    """Estimate the memory that the encoder of a cut takes, in MB.

    Measured 2026-11-21 with FFmpeg 9.0.2 and one thread: 65 MB at 360x640, 130 at 720x1280, 226 to 272 at 1080x1920,
    737 at 2160x3840. Colours beyond BT.709 are converted in 32-bit floats, and every layer is in memory as it is drawn.
    """
    if plan.how == "copy":
        return SMALL_MB
    out_mp, in_mp = plan.width * plan.height / 1e6, clip.width * clip.height / 1e6
    per_mp = 100 + 16 * len(plan.layers) + (60 if plan.colours in ("bt2020", "pq", "hlg") else 0)
    return round(50 + per_mp * out_mp + 15 * in_mp)


def _tell(plan: CutPlan, name: str, reached_s: float) -> None:
    log.debug("cut %s of %s: %.1f of %.1f s are encoded", plan.spec.name, name, reached_s, plan.duration_s)


def _timeout_s(plan: CutPlan) -> float:
    return 120.0 + 30.0 * plan.duration_s


async def as_mp4(source: Path, target: Path, encoders: EncoderSlots) -> None:
    """Write a video of another container as an MP4: the same bytes every time.

    Streams that an MP4 can hold are taken as they are. `target` appears only whole. MediaError when it cannot be read.
    """
    probe = probe_any(source)
    with replacing(target) as part:
        async with encoders.take():
            argv = _make_argv(source, part, container_of(source), probe)
            await run_encoder(argv, _TIMEOUT_S + _PER_SECOND_S * probe.duration_s)


def _make_argv(source: Path, target: Path, container: str, probe: VideoProbe) -> list[str]:
    if container not in FOREIGN_CONTAINERS:
        raise MediaError(f"{source.name} is no video of a kind known here. It has to be fetched again.")
    picture = ["-c:v", "copy"] if probe.video_codec == "h264" else _PICTURE
    sound = ["-c:a", "copy"] if probe.audio_codec == "aac" else _SOUND
    argv = [ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
    # As for every input: no other file and no network address, whatever the file says.
    argv += ["-protocol_whitelist", "file", "-f", container, "-i", f"file:{source.absolute()}"]
    argv += ["-map", "0:v:0", *picture, "-map", "0:a:0?", *sound, "-map_metadata", "-1", "-map_chapters", "-1"]
    argv += ["-fflags", "+bitexact", "-movflags", "+faststart", "-threads", "1"]
    return [*argv, "-f", "mp4", f"file:{target.absolute()}"]
