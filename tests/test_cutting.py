from __future__ import annotations

import asyncio
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_samples import first_times, frame_at, make_clip, onset_s, turn, video_packets

from callsheet.cutting.encode import check_cut, make_cut
from callsheet.cutting.plan import CUT_SPECS, CutPlan, cut_argv, plan_cut
from callsheet.errors import MediaError
from callsheet.media.ffmpeg import ffmpeg_exe, run_encoder
from callsheet.media.loudness import Loudness, gain_db, measure_loudness, parse_loudness
from callsheet.media.probe import VideoProbe, probe_video
from callsheet.media.provenance import Provenance, read_mp4_xmp, xmp_packet

CLIP = VideoProbe(1280, 720, 8.0, 24.0, 192, "h264", "yuv420p", "aac", 48000, 2, 1, True, True, audio_start_s=0.0)


@pytest.mark.parametrize(
    ("size", "spec", "expected"),
    [
        ((1280, 720), "9x16", ("crop", 720, 1280)),
        ((1280, 720), "4x5", ("crop", 720, 900)),
        ((1280, 720), "1x1", ("crop", 720, 720)),
        ((1280, 720), "16x9", ("copy", 1280, 720)),
        ((1920, 1080), "9x16", ("crop", 1080, 1920)),
        ((1920, 1080), "4x5", ("crop", 1080, 1350)),
        ((1080, 1920), "9x16", ("copy", 1080, 1920)),
        ((1080, 1920), "16x9", ("crop", 1920, 1080)),
        ((3840, 2160), "1x1", ("crop", 1080, 1080)),
        ((3840, 2160), "16x9", ("copy", 3840, 2160)),
        ((640, 360), "9x16", ("crop", 360, 640)),
        ((404, 718), "9x16", ("copy", 404, 718)),
    ],
)
def test_a_cut_takes_the_class_of_the_clips_short_side_and_copies_what_fits(size, spec, expected):
    plan = plan_cut(replace(CLIP, width=size[0], height=size[1]), spec)
    assert (plan.how, plan.width, plan.height) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"video_codec": "hevc"},
        {"pix_fmt": "yuv444p"},
        {"sar": Fraction(4, 3)},
        {"constant_rate": False},
        {"fps": 120.0},
        {"rotation": 180},
    ],
)
def test_a_clip_that_players_may_not_show_as_it_is_is_encoded_again(change):
    assert plan_cut(replace(CLIP, **change), "16x9").how == "crop"


def test_the_crop_follows_the_focus_and_stays_inside():
    boxes = [plan_cut(CLIP, "9x16", None, (x, 0.5)).crop for x in (0.0, 0.5, 1.0)]
    assert boxes == [(0, 0, 404, 718), (438, 0, 404, 718), (876, 0, 404, 718)]


def test_wide_pixels_are_made_square():
    plan = plan_cut(replace(CLIP, width=1440, height=1080, sar=Fraction(4, 3)), "16x9")
    assert (plan.crop, plan.width, plan.height) == ((0, 0, 1440, 1080), 1920, 1080)


@pytest.mark.parametrize("change", [{"rotation": None}, {"width": 32}, {"sar": Fraction(10)}, {"colours": "bt2020"}])
def test_a_clip_that_cannot_be_cut_is_refused_in_words(change):
    with pytest.raises(MediaError, match="clip"):
        plan_cut(replace(CLIP, **change), "1x1")


def test_an_unknown_spec_is_answered_with_the_known_ones():
    with pytest.raises(MediaError, match="9x16, 4x5, 1x1, 16x9"):
        plan_cut(CLIP, "2x3")


@given(
    width=st.integers(64, 8192),
    height=st.integers(64, 8192),
    spec=st.sampled_from(sorted(CUT_SPECS)),
    rotation=st.sampled_from([0, 90, 180, 270]),
    focus=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
@settings(max_examples=300, deadline=None)
def test_any_plan_is_even_inside_the_frame_and_true_to_the_aspect(width, height, spec, rotation, focus):
    plan = plan_cut(replace(CLIP, width=width, height=height, rotation=rotation), spec, None, focus)
    aspect = CUT_SPECS[spec]
    if plan.crop is None:
        assert min(abs(width - height * aspect), abs(height - width / aspect)) <= 1
        return
    x, y, w, h = plan.crop
    upright = (width, height) if rotation in (0, 180) else (height, width)
    assert 0 <= x <= x + w <= upright[0]
    assert 0 <= y <= y + h <= upright[1]
    assert min(w, h, plan.width, plan.height) > 0
    assert all(value % 2 == 0 for value in (*plan.crop, plan.width, plan.height))
    assert min(abs(w - h * aspect), abs(h - w / aspect)) < 1
    assert min(abs(plan.width - plan.height * aspect), abs(plan.height - plan.width / aspect)) <= 1
    assert min(plan.width, plan.height) <= 1080


def test_the_argv_of_a_crop_is_what_was_measured():
    plan = CutPlan("9x16", "crop", (438, 0, 404, 718), 720, 1280, 8.0, 3.5)
    assert " ".join(cut_argv(plan, Path("/in/-a%d.mp4"), Path("/out/b.part"))[1:]) == (
        "-nostdin -hide_banner -loglevel error -xerror -y -protocol_whitelist file -f mp4 -i file:/in/-a%d.mp4"
        " -map 0:v:0 -vf crop=404:718:438:0,scale=720:1280:flags=bicubic,setsar=1,"
        "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709"
        " -c:v libx264 -preset veryfast -crf 20 -profile:v high -bf 2 -g 24 -flags:v +cgop+bitexact -pix_fmt yuv420p"
        " -map 0:a:0 -af aformat=sample_rates=48000:channel_layouts=stereo,aresample=async=1:first_pts=0,"
        "atrim=end=8.000000,volume=3.5dB,alimiter=limit=0.891:level=false:latency=true"
        " -c:a aac -b:a 128k -ar 48000 -ac 2 -flags:a +bitexact"
        " -map_metadata -1 -map_chapters -1 -fflags +bitexact"
        " -movflags +faststart+negative_cts_offsets -use_editlist 0 -threads 1 -f mp4 file:/out/b.part"
    )


def test_the_argv_of_a_silent_copy_holds_no_filter():
    argv = cut_argv(CutPlan("16x9", "copy", None, 1280, 720, 8.0, None, lead_s=0.5), Path("/a.mp4"), Path("/b"))
    assert "-an" in argv
    assert argv[argv.index("-c:v") + 1] == "copy"
    assert argv[argv.index("-itsoffset") + 1] == "-0.500000"
    assert not {"-vf", "-af"} & set(argv)


async def test_a_copied_cut_keeps_the_packets_and_loses_the_edit_list(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (720, 1280))
    assert probe_video(clip).has_edit_list
    result = await make_cut(clip, "9x16", tmp_path / "cut.mp4")
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
    result = await make_cut(clip, "1x1", tmp_path / "cut.mp4", asyncio.Semaphore(1))
    assert result.probe.colours == "bt709"
    assert (result.probe.width, result.probe.height, result.probe.frames) == (720, 720, 24)
    assert first_times(tmp_path / "cut.mp4") == {"video": 0.0, "audio": 0.0}
    expected = frame_at(clip, 0)[:, 280:1000].astype(int)
    assert np.abs(frame_at(tmp_path / "cut.mp4", 0).astype(int) - expected).mean() < 4


async def test_a_clip_without_sound_gives_a_cut_without_sound(tmp_path):
    result = await make_cut(make_clip(tmp_path / "clip.mp4", audio=False), "16x9", tmp_path / "cut.mp4")
    assert (result.probe.audio_codec, result.loudness, result.plan.gain_db) == (None, None, None)


async def test_a_clip_whose_picture_starts_late_starts_at_zero_and_keeps_its_sound_in_step(tmp_path):
    """Without an edit list, B-frames make the picture start after the sound; the sound before it is dropped."""
    clip = make_clip(tmp_path / "clip.mp4", (720, 1280), options={"use_editlist": "0"}, audio_from_s=0.5)
    lead_s = probe_video(clip).video_start_s
    assert lead_s > 0.04
    await make_cut(clip, "9x16", tmp_path / "cut.mp4")
    assert onset_s(tmp_path / "cut.mp4") == pytest.approx(onset_s(clip) - lead_s, abs=0.03)
    assert first_times(tmp_path / "cut.mp4") == {"video": 0.0, "audio": 0.0}
    assert video_packets(tmp_path / "cut.mp4") == video_packets(clip)


async def test_sound_that_starts_late_is_padded_not_moved(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (720, 1280), audio_from_s=0.5)
    await make_cut(clip, "9x16", tmp_path / "cut.mp4")
    assert onset_s(tmp_path / "cut.mp4") == pytest.approx(0.5, abs=0.03)  # 21 ms are the encoder's priming


@pytest.mark.parametrize(("matrix", "clockwise"), [((0, 1, -1, 0), 90), ((-1, 0, 0, -1), 180), ((0, -1, 1, 0), 270)])
async def test_a_turned_clip_is_cut_upright(tmp_path, matrix, clockwise):
    clip = turn(make_clip(tmp_path / "clip.mp4", (640, 360), frames=4, audio=False, colours=5), matrix)
    assert probe_video(clip).rotation == clockwise
    result = await make_cut(clip, "1x1", tmp_path / "cut.mp4")
    assert (result.probe.rotation, result.probe.width, result.probe.height) == (0, 360, 360)
    upright = np.rot90(frame_at(clip, 0), -clockwise // 90)
    x, y, w, h = result.plan.crop
    expected = upright[y : y + h, x : x + w].astype(int)
    assert np.abs(frame_at(tmp_path / "cut.mp4", 0).astype(int) - expected).mean() < 8


async def test_a_mirrored_clip_is_refused(tmp_path):
    clip = turn(make_clip(tmp_path / "clip.mp4", (640, 360), frames=4, audio=False), (-1, 0, 0, 1))
    with pytest.raises(MediaError, match="mirrored"):
        await make_cut(clip, "1x1", tmp_path / "cut.mp4")


async def test_odd_sizes_and_uneven_frames_are_normalised(tmp_path):
    times = [0, 1, 2, 3, 6, 7, 8, 11, 12, 13, 16, 17]
    clip = make_clip(tmp_path / "clip.mp4", (641, 361), frames=12, pix_fmt="yuv444p", times=times)
    assert not probe_video(clip).constant_rate
    result = await make_cut(clip, "16x9", tmp_path / "cut.mp4")
    assert (result.probe.width, result.probe.height, result.probe.pix_fmt) == (640, 360, "yuv420p")
    assert result.probe.constant_rate
    assert result.plan.rate is not None


async def test_file_names_cannot_become_options_patterns_or_protocols(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "clip.mp4", (720, 1280), frames=4)
    source, target = Path("-i %03d:concat.mp4"), Path("-y http:%d.mp4")
    (tmp_path / "clip.mp4").rename(source)
    await make_cut(source, "9x16", target)
    assert probe_video(target).frames == 4


async def test_a_playlist_that_calls_itself_a_clip_opens_nothing_else(tmp_path):
    (tmp_path / "clip.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/secret.ts\n")
    with pytest.raises(MediaError, match="not an MP4"):
        await make_cut(tmp_path / "clip.mp4", "9x16", tmp_path / "cut.mp4")


async def test_a_cut_is_stamped_before_it_appears(tmp_path):
    packet = xmp_packet(Provenance("a1b2", "veo-test"))
    clip = make_clip(tmp_path / "clip.mp4", (720, 1280), frames=4)
    await make_cut(clip, "9x16", tmp_path / "cut.mp4", xmp=packet)
    assert read_mp4_xmp(tmp_path / "cut.mp4") == packet
    assert read_mp4_xmp(clip) is None


async def test_the_same_clip_gives_the_same_bytes(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (640, 360), frames=6)
    for name in ("a.mp4", "b.mp4"):
        await make_cut(clip, "1x1", tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


async def test_a_clip_damaged_inside_gives_an_error_and_no_file(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (640, 360))
    data = bytearray(clip.read_bytes())
    start = data.index(b"mdat") + 200
    data[start : start + 20000] = bytes(20000)
    clip.write_bytes(data)
    with pytest.raises(MediaError):
        await make_cut(clip, "1x1", tmp_path / "cut.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_every_difference_from_the_plan_is_named():
    plan = plan_cut(CLIP, "9x16")
    good = replace(CLIP, width=720, height=1280, has_edit_list=False)
    check_cut(plan, CLIP, good)
    bad = replace(good, width=718, duration_s=7.0, has_edit_list=True, moov_first=False, video_start_s=0.083)
    with pytest.raises(MediaError, match=r"718x1280.*7\.000 s.*edit list.*index at the end.*0\.083 s late"):
        check_cut(plan, CLIP, bad)


async def test_the_encoder_is_stopped_when_it_takes_too_long_or_is_cancelled(tmp_path):
    endless = [ffmpeg_exe(), "-loglevel", "error", "-re", "-f", "lavfi", "-i", "anullsrc", "-f", "null", "-"]
    with pytest.raises(MediaError, match="stopped after"):
        await run_encoder(endless, 0.2)
    task = asyncio.create_task(run_encoder(endless, 60))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_encoder_that_fails_says_why():
    with pytest.raises(MediaError, match="No such file"):
        await run_encoder([ffmpeg_exe(), "-loglevel", "error", "-i", "file:/nowhere.mp4", "-f", "null", "-"], 20)


@pytest.mark.parametrize(
    ("lufs", "gain"),
    [(-20.0, 6.0), (-14.0, 0.0), (-8.5, -5.5), (-45.0, 20.0), (-70.0, 0.0), (float("-inf"), 0.0), (30.0, -20.0)],
)
def test_the_gain_aims_at_minus_14_lufs_within_bounds_and_leaves_silence_alone(lufs, gain):
    assert gain_db(Loudness(lufs, -1.0)) == gain


async def test_a_quiet_clip_becomes_as_loud_as_planned(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (720, 1280), frames=48, volume=0.05)
    result = await make_cut(clip, "9x16", tmp_path / "cut.mp4")
    after = await measure_loudness(tmp_path / "cut.mp4")
    assert result.plan.gain_db > 5
    assert after.integrated_lufs == pytest.approx(-14.0, abs=0.7)
    assert after.true_peak_dbfs < -0.5


async def test_a_silent_track_is_measured_and_left_alone(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (720, 1280), volume=0.0)
    result = await make_cut(clip, "9x16", tmp_path / "cut.mp4")
    assert result.plan.gain_db == 0.0


def test_a_report_without_figures_is_an_error():
    with pytest.raises(MediaError, match="loudness"):
        parse_loudness("nothing here")
