from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from callsheet.cuts.encode.encode import CutResult, analyse, make_cut
from callsheet.cuts.sound.make import Sounds
from callsheet.errors import MediaError
from callsheet.media.ffmpeg import PROGRESS, EncoderSlots, ffmpeg_exe, parse_loudness, run_encoder
from callsheet.media.probe import probe_video
from callsheet.media.provenance import Provenance, read_mp4_xmp, xmp_packet
from callsheet.platforms import load_platforms
from tests.support.media_samples import first_times, frame_at, make_clip, onset_s, turn, video_packets

PLATFORMS = load_platforms()


async def cut(clip: Path, name: str, target: Path, **options) -> CutResult:
    """A cut for a platform whose least duration these clips of a second need not have."""
    return await make_cut(clip, replace(PLATFORMS.get(name), min_s=0.0), target, **options)


async def test_a_copied_cut_keeps_the_packets_and_loses_the_edit_list(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (720, 1280))
    assert probe_video(clip).has_edit_list
    result = await cut(clip, "9x16", tmp_path / "cut.mp4")
    assert result.plan.how == "copy"
    assert video_packets(tmp_path / "cut.mp4") == video_packets(clip)
    assert not result.probe.has_edit_list
    assert result.probe.moov_first
    assert first_times(tmp_path / "cut.mp4") == {"video": 0.0, "audio": 0.0}
    assert result.probe.frames == 24
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "cut.mp4"]


async def test_a_cropped_cut_has_the_exact_size_and_shows_the_crop(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", colours=5)
    assert probe_video(clip).colours == "bt601"
    result = await cut(clip, "1x1", tmp_path / "cut.mp4", encoders=EncoderSlots(1))
    assert result.probe.colours == "bt709"
    assert (result.probe.width, result.probe.height, result.probe.frames) == (720, 720, 24)
    assert first_times(tmp_path / "cut.mp4") == {"video": 0.0, "audio": 0.0}
    expected = frame_at(clip, 0)[:, 280:1000].astype(int)
    assert np.abs(frame_at(tmp_path / "cut.mp4", 0).astype(int) - expected).mean() < 4


async def test_a_clip_without_sound_gives_a_cut_without_sound(tmp_path):
    result = await cut(make_clip(tmp_path / "clip.mp4", audio=False), "16x9", tmp_path / "cut.mp4")
    assert (result.probe.audio_codec, result.sound, result.plan.has_sound) == (None, None, False)


async def test_a_clip_whose_picture_starts_late_starts_at_zero_and_keeps_its_sound_in_step(tmp_path):
    """Without an edit list, B-frames make the picture start after the sound; the sound before it is dropped."""
    clip = make_clip(tmp_path / "clip.mp4", (720, 1280), options={"use_editlist": "0"}, audio_from_s=0.5)
    lead_s = probe_video(clip).video_start_s
    assert lead_s > 0.04
    await cut(clip, "9x16", tmp_path / "cut.mp4")
    assert onset_s(tmp_path / "cut.mp4") == pytest.approx(onset_s(clip) - lead_s, abs=0.03)
    assert first_times(tmp_path / "cut.mp4") == {"video": 0.0, "audio": 0.0}
    assert video_packets(tmp_path / "cut.mp4") == video_packets(clip)


async def test_sound_that_starts_late_is_padded_not_moved(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (720, 1280), audio_from_s=0.5)
    await cut(clip, "9x16", tmp_path / "cut.mp4")
    assert onset_s(tmp_path / "cut.mp4") == pytest.approx(0.5, abs=0.03)  # 21 ms are the encoder's priming


@pytest.mark.parametrize(("matrix", "clockwise"), [((0, 1, -1, 0), 90), ((-1, 0, 0, -1), 180), ((0, -1, 1, 0), 270)])
async def test_a_turned_clip_is_cut_upright(tmp_path, matrix, clockwise):
    clip = turn(make_clip(tmp_path / "clip.mp4", (640, 360), frames=4, audio=False, colours=5), matrix)
    assert probe_video(clip).rotation == clockwise
    result = await cut(clip, "1x1", tmp_path / "cut.mp4")
    assert (result.probe.rotation, result.probe.width, result.probe.height) == (0, 360, 360)
    upright = np.rot90(frame_at(clip, 0), -clockwise // 90)
    x, y, w, h = result.plan.crop
    expected = upright[y : y + h, x : x + w].astype(int)
    assert np.abs(frame_at(tmp_path / "cut.mp4", 0).astype(int) - expected).mean() < 8


async def test_a_mirrored_clip_is_refused(tmp_path):
    clip = turn(make_clip(tmp_path / "clip.mp4", (640, 360), frames=4, audio=False), (-1, 0, 0, 1))
    with pytest.raises(MediaError, match="mirrored"):
        await cut(clip, "1x1", tmp_path / "cut.mp4")


async def test_odd_sizes_and_uneven_frames_are_normalised(tmp_path):
    times = [0, 1, 2, 3, 6, 7, 8, 11, 12, 13, 16, 17]
    clip = make_clip(tmp_path / "clip.mp4", (641, 361), frames=12, pix_fmt="yuv444p", times=times)
    assert not probe_video(clip).constant_rate
    result = await cut(clip, "16x9", tmp_path / "cut.mp4")
    assert (result.probe.width, result.probe.height, result.probe.pix_fmt) == (640, 360, "yuv420p")
    assert result.probe.constant_rate
    assert result.plan.rate is not None


async def test_file_names_cannot_become_options_patterns_or_protocols(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "clip.mp4", (720, 1280), frames=4)
    source, target = Path("-i %03d:concat.mp4"), Path("-y http:%d.mp4")
    (tmp_path / "clip.mp4").rename(source)
    await cut(source, "9x16", target)
    assert probe_video(target).frames == 4


async def test_a_playlist_that_calls_itself_a_clip_opens_nothing_else(tmp_path):
    (tmp_path / "clip.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/secret.ts\n")
    with pytest.raises(MediaError, match="not an MP4"):
        await cut(tmp_path / "clip.mp4", "9x16", tmp_path / "cut.mp4")


async def test_a_cut_is_stamped_before_it_appears(tmp_path):
    packet = xmp_packet(Provenance("a1b2", "veo-test"))
    clip = make_clip(tmp_path / "clip.mp4", (720, 1280), frames=4)
    await cut(clip, "9x16", tmp_path / "cut.mp4", xmp=packet)
    assert read_mp4_xmp(tmp_path / "cut.mp4") == packet
    assert read_mp4_xmp(clip) is None


async def test_the_same_clip_gives_the_same_bytes(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (640, 360), frames=6)
    for name in ("a.mp4", "b.mp4"):
        await cut(clip, "1x1", tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


async def test_a_clip_damaged_inside_gives_an_error_and_no_file(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (640, 360))
    data = bytearray(clip.read_bytes())
    start = data.index(b"mdat") + 200
    data[start : start + 20000] = bytes(20000)
    clip.write_bytes(data)
    with pytest.raises(MediaError):
        await cut(clip, "1x1", tmp_path / "cut.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


async def test_the_encoder_is_stopped_when_it_takes_too_long_or_is_cancelled(tmp_path):
    endless = [ffmpeg_exe(), "-loglevel", "error", "-re", "-f", "lavfi", "-i", "anullsrc", "-f", "null", "-"]
    with pytest.raises(MediaError, match="stopped after"):
        await run_encoder(endless, 0.2)
    task = asyncio.create_task(run_encoder(endless, 60))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_encoder_tells_how_far_it_is():
    told: list[float] = []
    made = [
        ffmpeg_exe(),
        "-loglevel",
        "error",
        *PROGRESS,
        "-f",
        "lavfi",
        "-i",
        "anullsrc",
        "-t",
        "7",
        "-f",
        "null",
        "-",
    ]
    assert await run_encoder(made, 20, told.append) == ""
    assert told[-1] == pytest.approx(7.0, abs=0.05)


async def test_an_encoder_that_fails_says_why():
    with pytest.raises(MediaError, match="No such file"):
        await run_encoder([ffmpeg_exe(), "-loglevel", "error", "-i", "file:/nowhere.mp4", "-f", "null", "-"], 20)


async def test_cuts_share_the_analysis_and_the_sound_of_their_clip(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (360, 640), frames=48, volume=0.05)
    (tmp_path / "sounds").mkdir()
    analysis, sounds = await analyse(clip), Sounds(clip, tmp_path / "sounds")
    results = [
        await cut(clip, name, tmp_path / f"{name}.mp4", analysis=analysis, sounds=sounds) for name in ("9x16", "1x1")
    ]
    assert [result.plan.how for result in results] == ["copy", "crop"]
    assert results[0].sound is results[1].sound
    assert len(list((tmp_path / "sounds").iterdir())) == 1
    assert results[0].sound.after.integrated_lufs == pytest.approx(-14.0, abs=0.5)


def test_a_report_without_figures_is_an_error():
    with pytest.raises(MediaError, match="loudness"):
        parse_loudness("nothing here")
