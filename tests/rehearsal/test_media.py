"""The rehearsal service's pictures and clips are real files, the same for the same wish."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageStat

from callsheet.rehearsal import render_image, render_video
from callsheet.rehearsal.render_image import PictureFlaw, PictureSpec

CUP = PictureSpec("A ceramic cup on a walnut table", 1376, 768)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def difference(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, dtype=np.int16) - np.asarray(b, dtype=np.int16)).mean())


def takes(look: PictureFlaw) -> list[PictureSpec]:
    wishes = [PictureSpec(CUP.prompt, 688, 384, take=take) for take in range(1, 200)]
    return [wish for wish in wishes if render_image.look(wish) is look]


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(768, 1376), (1024, 1024), (192, 1536), (688, 384)])
def test_a_picture_has_the_size_and_format_asked_for(size, form):
    image = opened(render_image.render(PictureSpec("a", *size, f"image/{form.lower()}")))
    assert (image.size, image.format) == (size, form)


def test_the_same_wish_gives_the_same_bytes_and_other_prompts_seeds_and_takes_others():
    others = [
        CUP,
        PictureSpec("Another prompt", 1376, 768),
        PictureSpec(CUP.prompt, 1376, 768, seed=1),
        PictureSpec(CUP.prompt, 1376, 768, seed=2),
        PictureSpec(CUP.prompt, 1376, 768, take=2),
    ]
    rendered = [render_image.render(wish) for wish in others]
    assert render_image.render(CUP) == rendered[0]
    assert len(set(rendered)) == len(others)
    assert difference(opened(rendered[0]), opened(rendered[4])) > 8


def test_the_prompt_is_written_on_the_picture():
    long = render_image.picture(PictureSpec("A cup", 1376, 768, seed=1))
    assert difference(long.crop((0, 640, 900, 768)), long.crop((0, 640, 900, 768)).filter(ImageFilter.BoxBlur(9))) > 0.5
    bare = render_image.picture(PictureSpec("", 1376, 768, seed=1))
    assert bare.size == long.size


def test_later_takes_are_sometimes_near_duplicates_blurred_or_dark_but_never_the_first_or_seeded_ones():
    found = {look: len(takes(look)) for look in PictureFlaw}
    assert 14 < found[PictureFlaw.NEAR_DUPLICATE] < 45
    assert found[PictureFlaw.BLURRED] > 2
    assert found[PictureFlaw.DARK] > 2
    assert all(render_image.look(PictureSpec(f"prompt {n}", 64, 64)) is PictureFlaw.PLAIN for n in range(200))
    assert all(render_image.look(PictureSpec("p", 64, 64, seed=n, take=n)) is PictureFlaw.PLAIN for n in range(200))


def test_near_duplicates_look_like_the_first_take_and_dark_ones_are_dark():
    first = render_image.picture(PictureSpec(CUP.prompt, 688, 384))
    near = render_image.picture(takes(PictureFlaw.NEAR_DUPLICATE)[0])
    other = render_image.picture(next(wish for wish in takes(PictureFlaw.PLAIN) if wish.take > 1))
    dark = render_image.picture(takes(PictureFlaw.DARK)[0])
    assert difference(first, near) < 6 < difference(first, other)
    assert ImageStat.Stat(dark.convert("L")).mean[0] < 40


def test_a_reference_picture_shows_in_the_picture():
    red = render_image.encode(Image.new("RGB", (300, 200), (220, 20, 20)), "image/png")
    with_reference = render_image.picture(PictureSpec(CUP.prompt, 1376, 768, references=(red,)))
    pixels = np.asarray(with_reference, dtype=np.int16)
    assert ((pixels[..., 0] > 200) & (pixels[..., 1] < 60)).sum() > 10_000


def test_what_is_no_picture_is_a_value_error():
    for data in (b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"0" * 40, render_image.render(CUP)[:5000]):
        with pytest.raises(ValueError, match="not a"):
            render_image.open_picture(data)


@pytest.mark.long
@pytest.mark.parametrize(("width", "height", "duration_s"), [(1280, 720, 4), (720, 1280, 6), (1280, 720, 8)])
def test_a_clip_is_24_fps_h264_with_aac_of_the_exact_length_and_size(width, height, duration_s):
    data = render_video.render(render_video.ClipWish("A cup", width, height, duration_s))
    with av.open(io.BytesIO(data)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert (video.width, video.height, video.average_rate) == (width, height, 24)
        assert container.duration == duration_s * 1_000_000
        assert audio.layout.name == "stereo"
        frames = [frame.pts * frame.time_base for frame in container.decode(video)]
    assert len(frames) == 24 * duration_s
    assert [float(time) for time in frames] == pytest.approx([n / 24 for n in range(len(frames))])


def test_a_clip_begins_with_its_first_frame_and_ends_with_its_last():
    first = render_image.render(PictureSpec("first", 1376, 768, "image/jpeg"))
    last = render_image.render(PictureSpec("last", 1376, 768, "image/jpeg"))
    wish = render_video.ClipWish("move", 1280, 720, 4, first_frame=first, last_frame=last)
    with av.open(io.BytesIO(render_video.render(wish))) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    shown = [render_image.open_picture(data).resize((1280, 720)) for data in (first, last)]
    assert difference(frames[0], shown[0]) < 4 < difference(frames[0], shown[1])
    assert difference(frames[-1], shown[1]) < 4
    assert len(frames) == 96


@pytest.mark.long
def test_clips_repeat_byte_for_byte_move_and_can_be_silent():
    wish = render_video.ClipWish("A cup", 1280, 720, 4, seed=3, audio=False)
    data = render_video.render(wish)
    assert render_video.render(wish) == data
    assert render_video.render(render_video.ClipWish("A cup", 1280, 720, 4, seed=4, audio=False)) != data
    with av.open(io.BytesIO(data)) as container:
        assert not container.streams.audio
        frames = [frame.to_image() for frame in container.decode(video=0)]
    assert difference(frames[0], frames[12]) > 1
