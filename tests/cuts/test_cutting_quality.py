from __future__ import annotations

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from callsheet.cuts.encode import encode
from callsheet.cuts.encode.cut_plan import CutPlan, plan_cut
from callsheet.cuts.encode.encode import analyse, make_cut, memory_mb
from callsheet.cuts.encode.fitness import Analysis
from callsheet.cuts.encode.keyframes import LumaSample, find_black, find_frozen, still_runs
from callsheet.cuts.encode.quality import Quality, check_cut
from callsheet.errors import MediaError
from callsheet.media.ffmpeg import EncoderSlots, Loudness, ffmpeg_exe
from callsheet.media.packets import read_packets, read_track
from callsheet.platforms import load_platforms
from tests.support.media_samples import make_clip

SPEC = load_platforms().get("9x16")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A clip, its cut, and what was found of both."""
    folder = tmp_path_factory.mktemp("made")
    clip = make_clip(folder / "clip.mp4", (180, 320), frames=72, audio=True, options={"movflags": "faststart"})

    async def cut():
        (folder / "sounds").mkdir()
        sounds = encode.Sounds(clip, folder / "sounds")
        return await make_cut(clip, SPEC, folder / "cut.mp4", sounds=sounds)

    result = asyncio.run(cut())
    return folder, asyncio.run(analyse(clip)), result


def checked(made, cut: Path | None = None, *, sound=None, clip: Path | None = None, **plan) -> Quality:
    folder, analysis, result = made
    spec = replace(SPEC, **{key: plan.pop(key) for key in tuple(plan) if key not in ("width", "clip_s", "fps")})
    wanted = replace(result.plan, spec=spec, **plan)
    cut, clip = cut or folder / "cut.mp4", clip or folder / "clip.mp4"
    return check_cut(wanted, analysis.probe, sound or result.sound, clip, cut)


def ffmpeg(*arguments: str) -> None:
    subprocess.run([ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y", *arguments], check=True)


def test_a_good_cut_passes_and_tells_what_was_seen(made):
    quality = checked(made)
    assert (quality.probe.width, quality.probe.height, quality.packets.frames) == (180, 320, 72)
    assert quality.notes == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"width": 182}, "is 180x320 px"),
        ({"clip_s": 2.0}, "lasts 3.000 s"),
        ({"fps": 30.0}, "has 24.00 frames a second"),
        ({"min_fps": 25}, "25 to 60 are taken"),
        ({"min_s": 4.0}, "lasts 3.000 s, which is not taken"),
        ({"max_s": 2.0}, "which is not taken"),
        ({"max_bytes": 1000}, "bytes of at most 1000"),
        ({"max_kbps": 10}, "kb/s of at most 10"),
        ({"max_gop_s": 1.0}, "keyframes 3.00 s apart"),
        ({"profiles": ("high",)}, "is h264 main"),
        ({"lufs": -23.0}, "-14.0 LUFS instead of -23"),
        ({"peak_dbtp": -30.0}, "dBTP over -30"),
    ],
)
def test_every_difference_from_plan_and_platform_is_a_reason(made, change, told):
    with pytest.raises(MediaError, match=told.replace(".", r"\.")):
        checked(made, **change)


def test_all_reasons_are_told_at_once(made):
    with pytest.raises(MediaError, match=r"is 180x320 px; it .*kb/s of at most 10.*Nothing was kept"):
        checked(made, width=182, max_kbps=10)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (["-use_editlist", "1", "-movflags", "+faststart"], "has an edit list"),
        (["-use_editlist", "0", "-movflags", "+negative_cts_offsets"], "has its index at the end"),
        (["-use_editlist", "0", "-movflags", "+faststart"], "late"),
        (["-an", "-use_editlist", "0", "-movflags", "+faststart+negative_cts_offsets"], "has audio None"),
        (["-t", "2", "-use_editlist", "0", "-movflags", "+faststart+negative_cts_offsets"], "has sound until 2"),
    ],
)
def test_files_that_platforms_refuse_are_seen(made, tmp_path, how, told):
    ffmpeg("-i", str(made[0] / "cut.mp4"), "-c", "copy", *how, str(tmp_path / "bad.mp4"))
    with pytest.raises(MediaError, match=told):
        checked(made, tmp_path / "bad.mp4")


def test_a_cut_with_other_sound_or_other_pictures_than_were_made_for_it_is_seen(made, tmp_path):
    folder, _, result = made
    ffmpeg("-i", str(folder / "cut.mp4"), "-c:v", "copy", "-c:a", "aac", "-b:a", "96k", "-use_editlist", "0",
           "-movflags", "+faststart+negative_cts_offsets", str(tmp_path / "bad.mp4"))  # fmt: skip
    with pytest.raises(MediaError, match="other sound"):
        checked(made, tmp_path / "bad.mp4")
    other = make_clip(tmp_path / "other.mp4", (180, 320), frames=72, bframes=0)
    with pytest.raises(MediaError, match="other pictures than the clip"):
        checked(made, clip=other)
    quiet = replace(result.sound, after=Loudness(-40.0, -20.0), note="room tone")
    assert checked(made, sound=quiet).notes == ("room tone",)


def encoded(made) -> CutPlan:
    return replace(made[2].plan, how="crop")


def still_or_black(path: Path, source: str, gop: int = 24, sound: Path | None = None) -> Path:
    x264 = ["-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "high", "-g", str(gop), "-bf", "0"]
    ffmpeg("-f", "lavfi", "-i", f"{source},format=yuv420p", "-i", str(sound), "-map", "0:v", "-map", "1:a", "-t", "3",
           *x264, "-flags", "+cgop", "-c:a", "copy", "-use_editlist", "0",
           "-movflags", "+faststart+negative_cts_offsets", str(path))  # fmt: skip
    return path


def test_a_cut_that_became_black_or_still_is_seen_against_its_clip(made, tmp_path):
    folder, analysis, result = made
    sound = result.sound.file
    black = still_or_black(tmp_path / "black.mp4", "color=c=black:s=180x320:r=24", sound=sound)
    still = still_or_black(tmp_path / "still.mp4", "testsrc2=s=180x320:r=24,loop=-1:1", sound=sound)
    for cut, told in ((black, "is black at 0.0 s where the clip is not"), (still, "stands still from 0.0 to 2.0 s")):
        with pytest.raises(MediaError, match=told):
            check_cut(encoded(made), analysis.probe, result.sound, folder / "clip.mp4", cut)
    # The same stillness is the user's where the clip itself stands still.
    check_cut(encoded(made), analysis.probe, result.sound, still, still)
    with pytest.raises(MediaError, match="black from start to end, as the clip is"):
        check_cut(encoded(made), analysis.probe, result.sound, black, black)


def test_keyframes_too_far_apart_in_what_was_encoded_are_seen(made, tmp_path):
    folder, analysis, result = made
    cut = still_or_black(tmp_path / "cut.mp4", "testsrc2=s=180x320:r=24", gop=48, sound=result.sound.file)
    with pytest.raises(MediaError, match=r"keyframes 2\.00 s apart"):
        check_cut(encoded(made), analysis.probe, result.sound, folder / "clip.mp4", cut)


async def test_a_cut_that_fails_its_check_is_not_kept(made, tmp_path, monkeypatch):
    monkeypatch.setattr(encode, "cut_argv", lambda plan, *rest: REAL(replace(plan, width=90, height=160), *rest))
    with pytest.raises(MediaError, match="is 90x160 px"):
        await make_cut(made[0] / "clip.mp4", replace(SPEC, closed_gop=True, max_gop_s=1.0), tmp_path / "cut.mp4")
    assert list(tmp_path.iterdir()) == []


REAL = encode.cut_argv


def look(at_s: float, luma: float) -> LumaSample:
    return LumaSample(at_s, np.full((4, 4), luma, np.uint8))


def test_night_is_not_black_and_a_fade_that_the_clip_has_is_its_own():
    night, day, black = look(0.0, 35), look(1.0, 120), look(2.0, 16)
    assert find_black([night, day], [night, day]) == ""
    assert find_black([day, black], [day, black]) == ""
    assert find_black([day, black], [day, day]) != ""


def test_stillness_counts_from_two_seconds_on():
    looks = [look(float(at), luma) for at, luma in enumerate((10, 50, 50, 50, 90))]
    assert still_runs(looks) == [(1, 3)]
    assert still_runs(looks[:3]) == []
    assert find_frozen(looks, looks) == ""


def test_how_a_file_is_packed_is_read_from_its_packets(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (320, 180), frames=36, bframes=2)
    packets = read_packets(clip)
    assert (packets.frames, packets.b_frames, packets.closed, packets.max_gop_s) == (36, 2, True, 1.5)
    with_open = tmp_path / "open.mp4"
    ffmpeg("-i", str(clip), "-an", "-c:v", "libx264", "-x264-params", "open-gop=1:keyint=12:bframes=2:scenecut=0",
           str(with_open))  # fmt: skip
    assert read_packets(with_open).closed is False
    assert read_packets(with_open).profile == "high"
    assert read_track(with_open, "audio") is None
    (tmp_path / "x.mp4").write_bytes(b"\0\0\0\x18ftypisom")
    with pytest.raises(MediaError, match="cannot be read"):
        read_packets(tmp_path / "x.mp4")


async def test_encoders_are_bounded_by_number_and_by_memory():
    slots, running, most = EncoderSlots(3, 300), 0, 0

    async def encode_one(mb: int) -> None:
        nonlocal running, most
        async with slots.take(mb):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1

    await asyncio.gather(*(encode_one(10) for _ in range(10)))
    assert most == 3
    most = 0
    await asyncio.gather(*(encode_one(140) for _ in range(6)))
    assert most == 2
    most = 0
    await asyncio.gather(*(encode_one(900) for _ in range(3)))  # larger than all there is: alone, not never
    assert most == 1


async def test_a_waiting_encoder_that_is_cancelled_leaves_the_slots_as_they_were():
    slots = EncoderSlots(1, 100)
    async with slots.take():
        waiting = asyncio.create_task(slots.take().__aenter__())
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(1), slots.take():
        pass


def test_the_memory_expected_of_an_encoder_covers_what_was_measured(made):
    measured = {(360, 640): 65, (720, 1280): 131, (1080, 1920): 272, (2160, 3840): 738}
    clip: Analysis = made[1]
    for (width, height), mb in measured.items():
        plan = replace(plan_cut(clip, SPEC), how="crop", width=width, height=height)
        probe = replace(clip.probe, width=height, height=width)
        assert mb <= memory_mb(plan, probe) <= 2 * mb
