"""Cuts that move, are padded, have layers or come from strange clips: what is in their pictures."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from callsheet.cuts.encode.cut_plan import plan_cut
from callsheet.cuts.encode.encode import analyse, make_cut
from callsheet.cuts.encode.graph import cut_argv
from callsheet.cuts.finishing.layers import Layer
from callsheet.cuts.framing.geometry import CropKey, Framing
from callsheet.errors import MediaError
from callsheet.media.ffmpeg import ffmpeg_exe, run_encoder
from callsheet.platforms import load_platforms
from tests.support.looked_at import look_at
from tests.support.media_samples import frame_at, make_clip, turn

PLATFORMS = load_platforms()


async def framed(clip: Path, name: str, framing: Framing, target: Path) -> None:
    plan = plan_cut(await analyse(clip), PLATFORMS.get(name), framing)
    assert plan.how == framing.how
    await run_encoder(cut_argv(plan, clip, target), 60)


def near(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


async def test_a_moving_crop_is_where_the_path_says_at_every_moment(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (640, 360), frames=24, audio=False, colours=1)
    path = (CropKey(0.0, 0, 0), CropKey(0.25, 0, 0), CropKey(0.75, 240, 0))
    await framed(clip, "1x1", Framing("crop", 360, 360, path, ""), tmp_path / "cut.mp4")
    for number, x in ((0, 0), (6, 0), (12, 120), (18, 240), (23, 240)):
        assert near(frame_at(tmp_path / "cut.mp4", number), frame_at(clip, number)[:, x : x + 360]) < 6, number


@pytest.mark.parametrize("size", [(640, 360), (360, 640)])
async def test_a_padded_cut_shows_the_whole_picture_over_a_blurred_one(tmp_path, size):
    clip = make_clip(tmp_path / "clip.mp4", size, frames=4, audio=False, colours=1)
    await framed(clip, "1x1", Framing("pad", *size, (), ""), tmp_path / "cut.mp4")
    picture, whole = frame_at(tmp_path / "cut.mp4", 1), frame_at(clip, 1)
    assert picture.shape == (360, 360, 3)
    shown = np.asarray(Image.fromarray(whole).resize((360, 202) if size[0] > size[1] else (202, 360)))
    middle = picture[79:281] if size[0] > size[1] else picture[:, 79:281]
    assert near(middle, shown) < 8
    band = picture[:60] if size[0] > size[1] else picture[:, :60]
    assert np.abs(np.diff(band.astype(int), axis=1)).mean() < 2.5  # blurred: neighbours are alike
    assert band.mean() > 20  # and not black


async def test_a_turned_clip_is_padded_upright(tmp_path):
    clockwise = 270
    clip = turn(make_clip(tmp_path / "clip.mp4", (640, 360), frames=4, audio=False, colours=1), (0, -1, 1, 0))
    await framed(clip, "1x1", Framing("pad", 360, 640, (), ""), tmp_path / "cut.mp4")
    upright = np.rot90(frame_at(clip, 1), -clockwise // 90)
    shown = np.asarray(Image.fromarray(upright.copy()).resize((202, 360)))
    assert near(frame_at(tmp_path / "cut.mp4", 1)[:, 79:281], shown) < 8


async def test_layers_are_seen_when_and_where_they_should_be_and_the_end_card_follows_the_clip(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (360, 640), frames=24, colours=1)
    Image.new("RGBA", (80, 40), (255, 255, 255, 255)).save(tmp_path / "logo.png")
    Image.new("RGBA", (360, 320), (0, 0, 255, 255)).save(tmp_path / "card.png")
    layers = [Layer(tmp_path / "logo.png", 100, 200, 0.25, 0.75), Layer(tmp_path / "card.png", 0, 0, 1.0)]
    result = await make_cut(clip, PLATFORMS.get("9x16"), tmp_path / "cut.mp4", layers=layers, tail_s=0.5)
    seen = look_at(tmp_path / "cut.mp4")
    assert result.plan.how == "crop"
    assert len(seen.times) == 36
    assert seen.audio_to_s == pytest.approx(1.5, abs=0.05)
    spots = [frame_at(tmp_path / "cut.mp4", number)[210:230, 110:170].mean(axis=(0, 1)) for number in (2, 12, 20)]
    assert spots[1].min() > 230
    assert max(spots[0].min(), spots[2].min()) < 230
    last = frame_at(tmp_path / "cut.mp4", 23)
    assert last[:310].mean(axis=(0, 1))[0] > 20
    for number in (24, 35):
        picture = frame_at(tmp_path / "cut.mp4", number)
        red, _, blue = picture[:310].mean(axis=(0, 1))
        assert red < 20 < 200 < blue
        assert near(picture[330:], last[330:]) < 6  # what the card leaves free is the last picture


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
async def test_hdr_becomes_the_colours_that_players_without_it_show(tmp_path, transfer):
    clip = hdr_clip(tmp_path / "clip.mp4", transfer)
    result = await make_cut(clip, PLATFORMS.get("1x1"), tmp_path / "cut.mp4")
    assert "BT.709" in result.plan.reason
    seen = look_at(tmp_path / "cut.mp4")
    assert "yuv420p(tv, bt709" in seen.stream or "yuv420p(bt709" in seen.stream
    red, green, blue = (frame_at(tmp_path / "cut.mp4", 1)[40:140, x : x + 20].mean(axis=(0, 1)) for x in (20, 80, 140))
    # Bars of 75 % (191): neither dull nor pale.
    for colour, channel in ((red, 0), (green, 1), (blue, 2)):
        assert colour[channel] == pytest.approx(191, abs=8)
        assert max(np.delete(colour, channel)) < 30


async def test_colours_of_the_full_range_come_out_the_same_in_the_range_of_video(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (320, 180), frames=4, audio=False, pix_fmt="yuvj420p", colours=1)
    await make_cut(clip, PLATFORMS.get("1x1"), tmp_path / "cut.mp4")
    assert "yuv420p(tv, bt709" in look_at(tmp_path / "cut.mp4").stream
    assert near(frame_at(tmp_path / "cut.mp4", 1), frame_at(clip, 1)[:, 70:250]) < 6


async def test_pictures_that_last_unequally_long_at_one_place_are_made_even(tmp_path):
    times = [0, 1, 2, *range(4, 49)]  # one is missing of fifty: on average nothing is to be seen of it
    clip = make_clip(tmp_path / "clip.mp4", (320, 180), frames=48, audio=False, times=times)
    result = await make_cut(clip, PLATFORMS.get("16x9"), tmp_path / "cut.mp4")
    assert "not constant" in result.plan.reason
    assert len(look_at(tmp_path / "cut.mp4").times) == 49


async def test_a_low_frame_rate_is_raised_to_what_the_platform_takes(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (540, 960), frames=12, fps=12, audio=False)
    spec = replace(PLATFORMS.get("reels"), min_s=0.5)
    await make_cut(clip, spec, tmp_path / "cut.mp4")
    seen = look_at(tmp_path / "cut.mp4")
    assert seen.fps == pytest.approx(24, abs=0.01)
    assert seen.duration_s == pytest.approx(1.0, abs=0.05)


async def test_a_clip_that_is_too_long_is_cut_off_where_the_platform_trims(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (360, 640), frames=36)
    spec = replace(PLATFORMS.get("9x16"), max_s=1.0)
    with pytest.raises(MediaError, match="up to 1 s"):
        await make_cut(clip, spec, tmp_path / "cut.mp4")
    await make_cut(clip, replace(spec, trims=True), tmp_path / "cut.mp4")
    seen = look_at(tmp_path / "cut.mp4")
    assert len(seen.times) == 24
    assert seen.audio_to_s == pytest.approx(1.0, abs=0.05)


async def test_a_file_never_exceeds_the_bitrate_or_size_of_the_platform(tmp_path):
    clip = noise(tmp_path / "clip.mp4")
    spec = replace(PLATFORMS.get("1x1"), max_kbps=900)
    await make_cut(clip, spec, tmp_path / "cut.mp4")
    assert look_at(tmp_path / "cut.mp4").video_kbps <= 900
    await make_cut(clip, replace(spec, max_kbps=None, max_bytes=150_000), tmp_path / "small.mp4")
    assert (tmp_path / "small.mp4").stat().st_size <= 150_000


def hdr_clip(path: Path, transfer: str) -> Path:
    """Bars of red, green and blue at 75 %, as HDR of BT.2020 in 10 bits."""
    bars = "color=c=0xBF0000:s=60x180,split[r][x];[x]lutrgb=r=0:g=191[g];color=c=0x0000BF:s=60x180[b];[r][g][b]hstack=3"
    convert = (
        "scale=out_color_matrix=bt709,format=yuv420p,setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709,"
        f"zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020:t={transfer}:m=bt2020nc:r=tv:npl=203,"
        "format=yuv420p10le"
    )
    tags = f"log-level=error:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
    argv = [ffmpeg_exe(), "-loglevel", "error", "-f", "lavfi", "-i", f"{bars},{convert}", "-t", "0.5"]
    subprocess.run([*argv, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", tags, str(path)], check=True)
    return path


def noise(path: Path) -> Path:
    argv = [ffmpeg_exe(), "-loglevel", "error", "-f", "lavfi", "-i", "nullsrc=s=320x180:r=24,geq=random(1)*255:128:128"]
    subprocess.run([*argv, "-t", "1", "-c:v", "libx264", "-preset", "ultrafast", str(path)], check=True)
    return path
