"""Cuts for every platform, looked at by other eyes than callsheet's; and clips that are broken or strange."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from callsheet.cuts.encode.encode import CutResult, analyse, make_cut
from callsheet.cuts.sound.make import Sounds
from callsheet.errors import MediaError
from callsheet.media.ffmpeg import ffmpeg_exe
from callsheet.platforms import PlatformSpec, load_platforms
from tests.support.looked_at import Seen, look_at
from tests.support.media_samples import make_clip, turn, video_packets

PLATFORMS = load_platforms()


def filmed(path: Path, size: str, *, seconds: float = 4, rate: str = "24", extra: tuple[str, ...] = ()) -> Path:
    """A clip with a tone and pictures that change all the time, packed as ffmpeg packs by default."""
    argv = [ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}"]
    argv += ["-f", "lavfi", "-i", "sine=frequency=330:sample_rate=44100", "-t", str(seconds)]
    argv += ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "96", "-pix_fmt", "yuv420p", "-ac", "1"]
    subprocess.run([*argv, *extra, str(path)], check=True)
    return path


def assert_fits(seen: Seen, spec: PlatformSpec, result: CutResult, seconds: float) -> None:
    kinds = [kind for kind in seen.boxes if kind in ("moov", "mdat")]
    assert kinds == ["moov", "mdat"]
    assert not seen.has_elst
    assert "Video: h264" in seen.stream
    assert "yuv420p" in seen.stream
    aspects = [spec.aspect, *spec.keeps]
    assert any(abs(seen.width - seen.height * aspect) <= 1 for aspect in aspects)
    assert seen.sar == 1
    short, long = sorted((seen.width, seen.height))
    assert short >= spec.min_short
    assert long <= (spec.max_long or long)
    assert spec.min_fps <= seen.fps + 0.01
    assert seen.fps <= spec.max_fps + 0.01
    steps = {round((b - a) * seen.fps, 2) for a, b in zip(seen.times, seen.times[1:], strict=False)}
    assert steps == {1.0}
    assert seen.times[0] == 0.0
    assert seen.duration_s == pytest.approx(seconds, abs=0.05)
    assert spec.min_s <= seen.duration_s + 0.01
    assert seen.longest_gop_s <= (spec.max_gop_s or 60) + 0.01
    assert not (spec.closed_gop and seen.open_gop)
    if result.plan.how != "copy":
        assert "High" in seen.stream
        assert "bt709" in seen.stream
        assert seen.width <= max(spec.width, spec.height)
        assert seen.longest_gop_s <= spec.gop_s + 0.05
        assert not seen.open_gop
    assert seen.size <= (spec.max_bytes or seen.size)
    assert seen.video_kbps <= (spec.max_kbps or seen.video_kbps)
    assert seen.audio == ("aac", 48000, 2)
    assert seen.audio_from_s == 0.0
    assert seen.audio_to_s == pytest.approx(seconds, abs=0.08)
    assert seen.lufs == pytest.approx(spec.lufs, abs=0.5)
    assert seen.peak_dbtp <= spec.peak_dbtp + 0.1


async def assert_every_cut_fits(clip: Path, names: tuple[str, ...], folder: Path, seconds: float) -> list[str]:
    (folder / "sounds").mkdir()
    analysis, sounds, copied = await analyse(clip), Sounds(clip, folder / "sounds"), []
    for name in names:
        target = folder / f"{name}.mp4"
        result = await make_cut(clip, PLATFORMS.get(name), target, analysis=analysis, sounds=sounds)
        assert_fits(look_at(target), PLATFORMS.get(name), result, seconds)
        if result.plan.how == "copy":
            assert video_packets(target) == video_packets(clip)
            copied.append(name)
    return copied


async def test_small_cuts_are_what_their_platforms_take(tmp_path):
    clip = filmed(tmp_path / "clip.mp4", "320x180", seconds=2)
    assert await assert_every_cut_fits(clip, ("shorts", "x"), tmp_path, 2.0) == ["x"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "copied"),
    [
        ("1280x720", {"16x9", "x", "linkedin"}),
        ("1920x1080", {"16x9", "x", "linkedin"}),
        # Facebook takes 5 s between keyframes at most, and these have one in 4 s.
        ("1080x1920", {"9x16", "shorts", "reels", "stories", "tiktok", "x", "linkedin", "facebook", "pinterest"}),
    ],
)
async def test_every_platform_gets_what_it_takes(tmp_path, size, copied):
    clip = filmed(tmp_path / "clip.mp4", size)
    assert set(await assert_every_cut_fits(clip, PLATFORMS.names, tmp_path, 4.0)) == copied


@pytest.mark.slow
async def test_a_minute_is_cut_like_eight_seconds(tmp_path):
    clip = filmed(tmp_path / "clip.mp4", "640x360", seconds=60, rate="30000/1001")
    assert await assert_every_cut_fits(clip, ("shorts", "stories", "x"), tmp_path, 60.0) == ["x"]


@pytest.mark.parametrize(
    ("kept", "told"),
    [(0, "empty"), (7, "not an MP4"), (40, "cut short|no index"), (0.6, "cut short"), (0.99, "cut short")],
)
@pytest.mark.parametrize("index_first", [True, False])
async def test_a_clip_that_is_cut_short_is_an_error_in_words_and_leaves_no_file(tmp_path, kept, told, index_first):
    extra = ("-movflags", "+faststart") if index_first else ()
    clip = filmed(tmp_path / "clip.mp4", "64x64", seconds=1, extra=extra)
    data = clip.read_bytes()
    clip.write_bytes(data[: kept if isinstance(kept, int) else int(len(data) * kept)])
    with pytest.raises(MediaError, match=f"clip.mp4 .*({told})"):
        await make_cut(clip, PLATFORMS.get("9x16"), tmp_path / "cut.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("rotation", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
async def test_strange_clips_give_cuts_that_fit(tmp_path, rotation):
    """Odd sides, 4:4:4, frames that last unequally long, turned, sound that begins late: all at once."""
    times = [0, 1, 2, 3, 6, 7, 8, 11, 12, 13, 16, 17]
    clip = make_clip(
        tmp_path / "clip.mp4", (321, 181), frames=12, pix_fmt="yuv444p", times=times, audio_from_s=0.2, volume=0.3
    )
    turn(clip, rotation)
    result = await make_cut(clip, PLATFORMS.get("1x1"), tmp_path / "cut.mp4")
    assert (result.plan.width, result.plan.height) == (180, 180)
    assert_fits(look_at(tmp_path / "cut.mp4"), PLATFORMS.get("1x1"), result, 18 / 24)
