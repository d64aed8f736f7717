"""Check of a finished cut: is it as planned, and as the platform takes it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from callsheet.cuts.encode.cut_plan import CutPlan
from callsheet.cuts.encode.keyframes import (
    LumaSample,
    find_black,
    find_frozen,
    is_black,
    keyframe_looks,
    looks_at,
    moves_after,
    part_of,
    still_runs,
)
from callsheet.cuts.sound.make import Sound
from callsheet.errors import MediaError
from callsheet.media.facts import VideoPackets, VideoProbe
from callsheet.media.packets import Track, read_packets, read_track
from callsheet.media.probe import probe_video
from callsheet.platforms import PlatformSpec

# By how much loudness may miss its aim, LU, and peaks theirs, dB: meters differ.
_LOUDNESS_LU, _PEAK_DB = 0.5, 0.1
# Sound may end so much before or after the picture, seconds: its packets last 21 ms, and the encoder adds two.
_END_S = 0.1
_SLACK_S = 0.05
_MAX_LEVEL = 52


@dataclass(frozen=True, slots=True)
class Quality:
    """The facts seen of a cut that passed.

    `notes` are sentences on what is as the clip made it and not as it should.
    """

    probe: VideoProbe
    packets: VideoPackets
    sound: Track | None
    notes: tuple[str, ...] = ()


def check_cut(plan: CutPlan, clip: VideoProbe, sound: Sound | None, source: Path, cut: Path) -> Quality:
    """Check that the file `cut` is what `plan` makes of the clip `source`.

    MediaError, with every reason, unless it is. Of the pictures only keyframes are decoded, and of the clip none unless
    those of the cut look wrong. The loudness was measured in the sound that the cut takes as it is; here is checked
    that the cut has exactly that.
    """
    seen = Quality(
        probe_video(cut), read_packets(cut), read_track(cut, "audio"), (sound.note,) if sound and sound.note else ()
    )
    wrong = [*_check_picture(plan, seen), *_check_packing(plan, seen), *_check_limits(plan.spec, seen)]
    wrong += [*_check_sound(plan, sound, seen), *_compare_pictures(plan, clip, source, cut)]
    if wrong:
        raise MediaError(
            f"The cut {plan.spec.name} is not what was planned ({plan.width}x{plan.height} px, "
            f"{plan.duration_s:.3f} s): it {'; it '.join(wrong)}. Nothing was kept."
        )
    return seen


def _check_picture(plan: CutPlan, seen: Quality) -> Iterator[str]:
    probe = seen.probe
    if (probe.width, probe.height) != (plan.width, plan.height):
        yield f"is {probe.width}x{probe.height} px"
    if probe.rotation != 0 or probe.sar != 1:
        yield "is turned or has pixels that are not square"
    if probe.interlaced:
        yield "is interlaced"
    if abs(probe.duration_s - plan.duration_s) > 1 / min(plan.fps, probe.fps) + _SLACK_S:
        yield f"lasts {probe.duration_s:.3f} s"
    if abs(probe.fps / plan.fps - 1) > 0.01 or not (probe.constant_rate and seen.packets.even):
        yield f"has {probe.fps:.2f} frames a second{'' if seen.packets.even else ', not evenly'}"
    if abs(probe.video_start_s) > 0.001:
        yield f"starts {abs(probe.video_start_s):.3f} s late"
    if probe.has_edit_list:
        yield "has an edit list"
    if not probe.moov_first:
        yield "has its index at the end"


def _check_packing(plan: CutPlan, seen: Quality) -> Iterator[str]:
    probe, packets, spec = seen.probe, seen.packets, plan.spec
    if probe.video_codec != "h264" or probe.pix_fmt != "yuv420p" or packets.profile not in spec.profiles:
        yield f"is {probe.video_codec} {packets.profile} {probe.pix_fmt}"
    if packets.level > _MAX_LEVEL:
        yield f"has level {packets.level / 10:g}, which few players know"
    longest_s = spec.max_gop_s if plan.how == "copy" else spec.gop_s + 1 / plan.fps
    if longest_s is not None and packets.max_gop_s > longest_s + _SLACK_S:
        yield f"has keyframes {packets.max_gop_s:.2f} s apart"
    if not packets.closed and (spec.closed_gop or plan.how != "copy"):
        yield "has open groups of pictures"


def _check_limits(spec: PlatformSpec, seen: Quality) -> Iterator[str]:
    probe = seen.probe
    if not spec.min_fps - 0.01 <= probe.fps <= spec.max_fps + 0.01:
        yield f"has {probe.fps:.2f} frames a second, and {spec.min_fps:g} to {spec.max_fps:g} are taken"
    if not spec.min_s - _SLACK_S <= probe.duration_s <= (spec.max_s or probe.duration_s) + _SLACK_S:
        yield f"lasts {probe.duration_s:.3f} s, which is not taken"
    if spec.max_bytes is not None and probe.size > spec.max_bytes:
        yield f"has {probe.size} bytes of at most {spec.max_bytes}"
    if spec.max_kbps is not None and seen.packets.kbps > spec.max_kbps:
        yield f"has {seen.packets.kbps:.0f} kb/s of at most {spec.max_kbps}"


def _check_sound(plan: CutPlan, sound: Sound | None, seen: Quality) -> Iterator[str]:
    probe, track = seen.probe, seen.sound
    if sound is None or track is None:
        if (sound is None) != (track is None):
            yield f"has audio {probe.audio_codec}"
        return
    if (probe.audio_codec, probe.sample_rate, probe.channels) != ("aac", 48000, 2):
        yield f"has audio {probe.audio_codec}, {probe.sample_rate} Hz, {probe.channels} channels"
    if abs(track.start_s) > 0.001:
        yield f"has sound from {track.start_s:.3f} s"
    if abs(track.end_s - plan.duration_s) > _END_S:
        yield f"has sound until {track.end_s:.3f} s"
    made = read_track(sound.file, "audio")
    if made is None or made.sha256 != track.sha256:
        yield "has other sound than was made for it"
    if not sound.note and abs(sound.after.integrated_lufs - plan.spec.lufs) > _LOUDNESS_LU:
        yield f"has {sound.after.integrated_lufs:.1f} LUFS instead of {plan.spec.lufs:g}"
    if sound.after.true_peak_dbfs > plan.spec.peak_dbtp + _PEAK_DB:
        yield f"has peaks of {sound.after.true_peak_dbfs:.1f} dBTP over {plan.spec.peak_dbtp:g}"


def _compare_pictures(plan: CutPlan, clip: VideoProbe, source: Path, cut: Path) -> Iterator[str]:
    if plan.how == "copy" and _hash_video(source) != _hash_video(cut):
        yield "has other pictures than the clip"
    looks = keyframe_looks(cut, plan.clip_s)
    if not any(map(is_black, looks)) and (plan.how == "copy" or not _stands_still(looks, cut)):
        return
    own = looks_at(source, [look.at_s for look in looks])
    if black := find_black(looks, own):
        yield black
    shown = [part_of(look, _find_shown(plan, clip), clip.rotation or 0) for look in own]
    if plan.how != "copy" and (frozen := find_frozen(looks, shown)):
        yield frozen


def _stands_still(looks: Sequence[LumaSample], cut: Path) -> bool:
    return any(not moves_after(cut, looks[(first + last) // 2].at_s) for first, last in still_runs(looks))


def _find_shown(plan: CutPlan, clip: VideoProbe) -> tuple[float, float, float, float]:
    """Return what the cut shows at first, as shares of the upright clip."""
    if plan.crop is None:
        return 0.0, 0.0, 1.0, 1.0
    x, y, wide, high = plan.crop
    width, height = (clip.height, clip.width) if clip.rotation in (90, 270) else (clip.width, clip.height)
    return x / width, y / height, (x + wide) / width, (y + high) / height


def _hash_video(path: Path) -> str | None:
    track = read_track(path, "video")
    return track.sha256 if track else None
