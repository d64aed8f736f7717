"""Interlaced clips: whatever is made of them shows one moment a picture, without combs at what moves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from callsheet.cuts.encode.encode import make_cut
from callsheet.cuts.encode.spot import make_spot
from callsheet.media.ffmpeg import ffmpeg_exe
from callsheet.media.probe import probe_video
from callsheet.media.stills import poster
from callsheet.platforms import load_platforms
from tests.support.looked_at import look_at
from tests.support.media_samples import frame_at

PLATFORMS = load_platforms()
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-flags", "+ildct+ilme", "-x264opts")


def moving_bar(path: Path, *how: str, scan: str | None = "tff") -> Path:
    """A second of a white bar that goes 240 px to the right, 25 pictures; without `scan` each shows one moment."""
    between = f"interlace=scan={scan}:lowpass=off" if scan else "fps=25"
    graph = f"[0][1]overlay=x='240*t':y=0,{between},setparams=colorspace=bt709"
    argv = [ffmpeg_exe(), "-y", "-loglevel", "error"]
    for source in ("color=0x202020:s=320x180:r=50:d=1", "color=white:s=40x180:r=50:d=1"):
        argv += ["-f", "lavfi", "-i", source]
    encoding = how or (*H264, f"{scan}=1")
    subprocess.run([*argv, "-filter_complex", graph, *encoding, "-pix_fmt", "yuv420p", str(path)], check=True)
    return path


def combs(picture: np.ndarray) -> float:
    """How much lines differ from their neighbours on both sides: about 0 where no two moments are mixed."""
    lines = picture[..., 0].astype(int)
    return float(np.abs(2 * lines[1:-1] - lines[:-2] - lines[2:]).mean())


@pytest.mark.parametrize("scan", ["tff", "bff"])
async def test_a_cut_of_an_interlaced_clip_has_no_combs_and_keeps_its_time(tmp_path, scan):
    clip = moving_bar(tmp_path / "clip.mp4", scan=scan)
    assert probe_video(clip).interlaced
    assert combs(frame_at(clip, 12)) > 5
    for name in ("16x9", "1x1"):
        result = await make_cut(clip, PLATFORMS.get(name), tmp_path / f"{name}.mp4")
        assert "it is interlaced" in result.plan.reason
        assert combs(frame_at(tmp_path / f"{name}.mp4", 12)) < 1.5
        assert not probe_video(tmp_path / f"{name}.mp4").interlaced
    seen = look_at(tmp_path / "16x9.mp4")
    assert (len(seen.times), "progressive" in seen.stream) == (25, True)


async def test_a_clip_that_is_not_interlaced_is_copied_as_ever(tmp_path):
    clip = moving_bar(tmp_path / "clip.mp4", "-c:v", "libx264", "-g", "25", "-bf", "0", scan=None)
    assert not probe_video(clip).interlaced
    assert (await make_cut(clip, PLATFORMS.get("16x9"), tmp_path / "cut.mp4")).plan.how == "copy"


async def test_interlaced_parts_are_joined_without_combs(tmp_path):
    clip = moving_bar(tmp_path / "clip.mp4")
    spot = await make_spot([clip, clip], tmp_path / "spot.mp4")
    assert (spot.plan.how, spot.plan.why) == ("encode", "clip.mp4 is interlaced.")
    assert (spot.probe.frames, spot.probe.interlaced) == (50, False)
    assert combs(frame_at(tmp_path / "spot.mp4", 37)) < 1.5


def test_a_poster_shows_one_moment(tmp_path):
    poster(moving_bar(tmp_path / "clip.mp4"), tmp_path / "poster.jpg")
    with Image.open(tmp_path / "poster.jpg") as still:
        assert still.size == (320, 180)
        assert combs(np.asarray(still)) < 1.5


def test_old_codecs_whose_streams_do_not_tell_are_asked_for_a_picture(tmp_path):
    assert probe_video(moving_bar(tmp_path / "old.mp4", "-c:v", "mpeg4", "-flags", "+ildct+ilme")).interlaced
    assert not probe_video(moving_bar(tmp_path / "whole.mp4", "-c:v", "mpeg4", scan=None)).interlaced
