"""Spots: several clips or cuts joined into one, checked before it is kept."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av

from callsheet.cuts.encode.spot_plan import SpotPart, SpotPlan, conform_argv, fade_argv, join_argv, plan_spot, reel_text
from callsheet.cuts.sound.make import Sound, master
from callsheet.cuts.sound.sound_plan import SoundSettings, level, plan_sound, shortfall
from callsheet.cuts.sound.stems import Stem, join_stems, own_stem
from callsheet.errors import MediaError
from callsheet.files import replacing
from callsheet.media.facts import MAX_DURATION_S, VideoProbe
from callsheet.media.ffmpeg import EncoderSlots, run_encoder
from callsheet.media.packets import read_packets, read_track
from callsheet.media.probe import SAFE_OPTIONS, probe_video
from callsheet.media.provenance import stamp_mp4


@dataclass(frozen=True, slots=True)
class Spot:
    """A spot that was made and checked: its plan, its facts, its sound (None without)."""

    plan: SpotPlan
    probe: VideoProbe
    sound: Sound | None


async def make_spot(
    files: Sequence[Path],
    target: Path,
    *,
    crossfade_s: float = 0.0,
    max_s: float | None = None,
    lufs: float = -14.0,
    peak_dbtp: float = -1.0,
    xmp: str | None = None,
    encoders: EncoderSlots | None = None,
) -> Spot:
    """Join MP4s in their order and write them to `target`.

    `target` appears only whole, checked and stamped with `xmp`. Hard cuts keep the video packets where all parts agree;
    else they are made like the first. Every part is brought to `lufs`, then the whole. Without any sound the spot has
    none. MediaError when the parts cannot be joined, or what came out is not what was planned; `target` is then
    untouched.
    """
    parts = [await asyncio.to_thread(read_part, file) for file in files]
    plan = plan_spot(parts, crossfade_s, max_s or MAX_DURATION_S)
    timeout_s = 120.0 + 30.0 * plan.duration_s
    async with (encoders or EncoderSlots()).take():
        with tempfile.TemporaryDirectory(prefix="callsheet-spot-") as name, replacing(target) as part:
            folder = Path(name)
            aim = SoundSettings(plan.duration_s, plan.duration_s, lufs, peak_dbtp)
            sound = await _make_sound(plan, parts, aim, folder, timeout_s)
            names = await _prepare_pictures(plan, parts, folder, timeout_s)
            reel = folder / "parts.ffconcat"
            reel.write_text(reel_text(plan, names))
            await run_encoder(join_argv(reel, sound.file if sound else None, part), timeout_s)
            probe = await asyncio.to_thread(check_spot, plan, sound, part)
            if xmp is not None:
                await asyncio.to_thread(stamp_mp4, part, xmp)
    return Spot(plan, probe, sound)


def read_part(file: Path) -> SpotPart:
    """Read a clip or cut as a part of a spot.

    MediaError when it is no MP4 that can be read.
    """
    probe = probe_video(file)
    with av.open(str(file.absolute()), format="mp4", options=SAFE_OPTIONS) as container:
        return SpotPart(file, probe, container.streams.video[0].codec_context.extradata or b"")


def check_spot(plan: SpotPlan, sound: Sound | None, spot: Path) -> VideoProbe:
    """Raise MediaError unless the file `spot` is what was planned.

    The message names every difference.
    """
    probe = probe_video(spot)
    if wrong := [*_check_picture(plan, probe, spot), *_check_sound(plan, sound, spot)]:
        raise MediaError(f"The spot is not what was planned: it {'; '.join(wrong)}. Nothing was kept.")
    return probe


def _check_picture(plan: SpotPlan, probe: VideoProbe, spot: Path) -> Iterator[str]:
    packets = read_packets(spot)
    frames = round(plan.duration_s * plan.fps)
    if (probe.width, probe.height) != (plan.width, plan.height):
        yield f"is {probe.width}x{probe.height} px"
    if packets.frames != frames or abs(probe.duration_s - plan.duration_s) > 0.5 / plan.fps:
        yield f"has {packets.frames} of {frames} frames in {probe.duration_s:.3f} s"
    if not probe.constant_rate or abs(probe.video_start_s) > 0.001:
        yield "has pictures at uneven times"
    if probe.has_edit_list:
        yield "has an edit list"
    if not probe.moov_first:
        yield "has its index at the end"


def _check_sound(plan: SpotPlan, sound: Sound | None, spot: Path) -> Iterator[str]:
    track = read_track(spot, "audio")
    if sound is None or track is None:
        if (sound is None) != (track is None):
            yield "has other tracks of sound"
        return
    # AAC comes in frames of 21 ms.
    if abs(track.start_s) > 0.001 or abs(track.end_s - plan.duration_s) > 0.03:
        yield f"has sound from {track.start_s:.3f} to {track.end_s:.3f} s"


async def _make_sound(
    plan: SpotPlan, parts: Sequence[SpotPart], aim: SoundSettings, folder: Path, timeout_s: float
) -> Sound | None:
    if all(part.probe.audio_codec is None for part in parts):
        return None
    stems: list[Stem | None] = []
    for number, (part, length) in enumerate(zip(parts, plan.lengths_s, strict=True)):
        own = replace(aim, clip_s=length, duration_s=length, lead_s=part.lead_s)
        file = folder / f"sound-{number}.wav"
        stems.append(await own_stem(part.file, own, file, timeout_s) if part.probe.audio_codec else None)
    levels = [level(aim.lufs, stem.loudness) if stem else None for stem in stems]
    pieces = list(zip(stems, levels, plan.lengths_s, strict=True))
    joined = await join_stems(pieces, plan.crossfade_s, folder / "joined.wav", timeout_s)
    first = plan_sound(aim, joined.loudness, None)
    assert first is not None  # noqa: S101 - for the type checker: there is a sound
    target = folder / "sound.mp4"
    mastered, after = await master(first, joined, None, target, timeout_s)
    return Sound(target, mastered, joined.loudness, after, shortfall(mastered, after))


async def _prepare_pictures(plan: SpotPlan, parts: Sequence[SpotPart], folder: Path, timeout_s: float) -> list[str]:
    """Prepare the files to be joined, and return their names in `folder`."""
    if plan.crossfade_s:
        await run_encoder(fade_argv(plan, parts, folder / "faded.mp4"), timeout_s)
        return ["faded.mp4"]
    names = []
    for number, (part, frames) in enumerate(zip(parts, plan.frames, strict=True)):
        file = folder / f"part-{number:03d}.mp4"
        if plan.how == "copy":
            file.symlink_to(part.file.absolute())
        else:
            await run_encoder(conform_argv(plan, part, frames, file), timeout_s)
        names.append(file.name)
    return names
