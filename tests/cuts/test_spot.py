"""Spots: clips joined into one film, in step from start to end, and checked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from callsheet.cuts.encode.spot import check_spot, make_spot, read_part
from callsheet.cuts.encode.spot_plan import SpotPlan, plan_spot
from callsheet.errors import MediaError
from callsheet.media.provenance import read_mp4_xmp
from tests.support.media_samples import video_packets
from tests.support.sound_samples import FFMPEG, metered

CLICK_S = 0.5


def _clip(
    path: Path, size: str = "160x90", rate: int = 24, seconds: float = 1.0, sound: bool = True, volume: float = 1.0
) -> Path:
    """A clip with a flash and a click at half a second; its sound goes on for a blink after the last picture."""
    flash = f"eq=brightness='if(between(t,{CLICK_S},{CLICK_S + 0.08}),1,0)':eval=frame"
    argv = [FFMPEG, "-y", "-loglevel", "error", "-f", "lavfi", "-i", f"color=0x303030:s={size}:r={rate}:d={seconds}"]
    if sound:
        click = f"0.05*sin(400*PI*t)+if(between(t,{CLICK_S},{CLICK_S + 0.03}),0.6*sin(4000*PI*t),0)"
        sound_s = f"d={seconds + 0.03},volume={volume},aformat=channel_layouts=stereo"
        argv += ["-f", "lavfi", "-i", f"aevalsrc='{click}':s=48000:{sound_s}", "-c:a", "aac"]
    argv += ["-vf", flash, "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-pix_fmt"]
    subprocess.run([*argv, "yuv420p", str(path)], check=True)
    return path


def _flashes(path: Path) -> list[float]:
    """When the picture becomes bright, in seconds."""
    with av.open(str(path)) as container:
        seen = [(frame.time, frame.to_ndarray(format="gray").mean() > 128) for frame in container.decode(video=0)]
    return [time for (time, bright), (_, before) in zip(seen[1:], seen, strict=False) if bright and not before]


def _clicks(path: Path) -> list[float]:
    argv = [FFMPEG, "-loglevel", "error", "-i", str(path), "-af", "highpass=f=1500", "-ac", "1", "-f", "f32le", "-"]
    sound = np.frombuffer(subprocess.run(argv, capture_output=True, check=True).stdout, np.float32)
    loud = np.nonzero(np.abs(sound) > 0.05)[0] / 48000
    return [float(at) for number, at in enumerate(loud) if not number or at - loud[number - 1] > 0.2]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return _clip(tmp_path_factory.mktemp("clips") / "a.mp4")


@pytest.mark.long
async def test_equal_clips_are_joined_as_they_are_and_stay_in_step_to_the_end(tmp_path, clip):
    files = [clip] * 8
    spot = await make_spot(files, tmp_path / "spot.mp4", xmp="<x>made</x>")
    assert (spot.plan.how, spot.plan.why) == ("copy", "")
    assert video_packets(tmp_path / "spot.mp4") == [packet for file in files for packet in video_packets(file)]
    assert (spot.probe.frames, spot.probe.duration_s) == (192, 8.0)
    assert (spot.probe.has_edit_list, spot.probe.moov_first) == (False, True)
    flashes, clicks = _flashes(tmp_path / "spot.mp4"), _clicks(tmp_path / "spot.mp4")
    assert flashes == pytest.approx([number + CLICK_S for number in range(8)], abs=0.002)
    assert clicks == pytest.approx(flashes, abs=0.01)  # a join adds nothing: without care it is 21 ms each
    assert read_mp4_xmp(tmp_path / "spot.mp4") == "<x>made</x>"


async def test_the_spot_and_each_of_its_parts_are_as_loud_as_asked_for(tmp_path, clip):
    quiet = _clip(tmp_path / "quiet.mp4", volume=0.05)
    await make_spot([clip, quiet], tmp_path / "spot.mp4", lufs=-16.0)
    lufs, peak = metered(tmp_path / "spot.mp4")
    assert lufs == pytest.approx(-16.0, abs=0.5)
    assert peak <= -1.0
    parts = [metered(tmp_path / "spot.mp4", f"atrim={start}:{start + 1}")[0] for start in (0, 1)]
    assert parts[0] == pytest.approx(parts[1], abs=1.0)


async def test_clips_that_differ_are_made_like_the_first(tmp_path, clip):
    files = [
        clip,
        _clip(tmp_path / "tall.mp4", "90x160", rate=30),
        _clip(tmp_path / "mute.mp4", seconds=0.5, sound=False),
    ]
    spot = await make_spot(files, tmp_path / "spot.mp4")
    assert (spot.plan.how, spot.plan.why) == ("encode", "tall.mp4 has another size or frame rate than a.mp4.")
    assert (spot.probe.width, spot.probe.height, spot.probe.fps, spot.probe.frames) == (160, 90, 24.0, 60)
    assert _clicks(tmp_path / "spot.mp4") == pytest.approx([0.5, 1.5], abs=0.01)


async def test_a_crossfade_blends_pictures_and_sound(tmp_path, clip):
    spot = await make_spot([clip] * 3, tmp_path / "spot.mp4", crossfade_s=0.25)
    assert (spot.plan.how, spot.probe.frames, spot.probe.duration_s) == ("encode", 60, 2.5)
    clicks = _clicks(tmp_path / "spot.mp4")
    assert clicks == pytest.approx([0.5, 1.25, 2.0], abs=0.01)
    assert _flashes(tmp_path / "spot.mp4") == pytest.approx(clicks, abs=1 / 24)


async def test_parts_without_sound_make_a_spot_without_sound(tmp_path):
    mute = _clip(tmp_path / "mute.mp4", sound=False)
    spot = await make_spot([mute, mute], tmp_path / "spot.mp4")
    assert (spot.sound, spot.probe.audio_codec, spot.plan.how) == (None, None, "copy")


async def test_what_cannot_be_joined_leaves_nothing(tmp_path):
    one = _clip(tmp_path / "one.mp4", seconds=0.5)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(one.read_bytes()[:3000])
    target = tmp_path / "spot.mp4"
    for files, fade, message in (
        ([one], 0.0, r"2 to 100 parts, not 1"),
        ([one, one], 0.3, r"too long for a part of 0\.50 s"),
        ([one] * 21, 0.1, r"with crossfades has 2 to 20 parts"),
        ([one, broken], 0.0, r"broken\.mp4"),
    ):
        with pytest.raises(MediaError, match=message):
            await make_spot(files, target, crossfade_s=fade)
    with pytest.raises(MediaError, match=r"would last 1\.0 s; at most 0\.8 s"):
        await make_spot([one, one], target, max_s=0.8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.mp4", "one.mp4"]


async def test_a_spot_that_is_not_what_was_planned_is_not_kept(tmp_path):
    one = _clip(tmp_path / "one.mp4", seconds=0.5, sound=False)
    plan = plan_spot([read_part(one)] * 2)
    assert plan == SpotPlan("copy", "", 160, 90, 24.0, (12, 12))
    with pytest.raises(
        MediaError, match=r"has 12 of 24 frames in 0\.500 s; has an edit list; has its index at the end"
    ):
        check_spot(plan, None, one)
