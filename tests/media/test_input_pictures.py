"""Pictures as they are sent: byte for byte where nothing speaks against it, else upright."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from callsheet.errors import MediaError
from callsheet.media.input_pictures import needs_change, picture_damage, prepare_picture
from tests.support.pictures import REAL_HEIC, TURNED_HEIC, a_heic, a_picture, two_colours

pytest.importorskip("pi_heif")
BASIC = ("image/png", "image/jpeg", "image/webp")
ALL = (*BASIC, "image/heic", "image/heif")


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    assert image.getexif().get(0x0112, 1) == 1
    return image.convert("RGB")


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_a_picture_that_needs_no_change_is_sent_byte_for_byte(format_: str) -> None:
    data = two_colours(format_)
    assert prepare_picture(data, BASIC) == (data, f"image/{format_.lower()}")
    assert prepare_picture(REAL_HEIC, ALL) == (REAL_HEIC, "image/heic")


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_picture_with_an_exif_orientation_is_sent_upright(format_: str, orientation: int) -> None:
    data = two_colours(format_, orientation)
    sent, mime_type = prepare_picture(data, BASIC)
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert (opened(sent).size, mime_type) == (shown.size, "image/png" if format_ == "PNG" else "image/jpeg")
    for place in ((2, 2), (shown.width - 3, 2), (2, shown.height - 3)):
        was, now = shown.getpixel(place), opened(sent).getpixel(place)
        assert max(abs(a - b) for a, b in zip(was, now, strict=True)) < 40, (place, was, now)  # type: ignore[arg-type]


def test_a_heic_is_converted_where_it_is_turned_or_not_taken() -> None:
    for data, taken, size in (
        (TURNED_HEIC, ALL, (32, 64)),
        (TURNED_HEIC, BASIC, (32, 64)),
        (REAL_HEIC, BASIC, (64, 32)),
    ):
        sent, mime_type = prepare_picture(data, taken)
        assert (opened(sent).size, mime_type) == (size, "image/jpeg")
    blue = opened(prepare_picture(TURNED_HEIC, ALL)[0]).getpixel((16, 2))
    assert blue[2] > 200 > 60 > blue[0], blue  # type: ignore[index]


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG"])
def test_of_a_picture_that_moves_the_first_one_is_sent(format_: str) -> None:
    first, then, out = Image.new("RGB", (32, 16), "red"), Image.new("RGB", (32, 16), "blue"), io.BytesIO()
    first.save(out, format_, save_all=True, append_images=[then], lossless=True)
    sent, mime_type = prepare_picture(out.getvalue(), ALL)
    image = Image.open(io.BytesIO(sent))
    assert (getattr(image, "n_frames", 1), mime_type) == (1, "image/jpeg" if format_ == "WEBP" else "image/png")
    assert image.convert("RGB").getpixel((3, 3))[0] > 200  # type: ignore[index]


def test_transparency_and_colour_profile_stay() -> None:
    image, out, exif = Image.new("RGBA", (8, 4), (255, 0, 0, 7)), io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    image.save(out, "WEBP", lossless=True, exif=exif.tobytes(), icc_profile=b"a profile")
    sent, mime_type = prepare_picture(out.getvalue(), BASIC)
    shown = Image.open(io.BytesIO(sent))
    assert (mime_type, shown.size, shown.getpixel((0, 0))[3]) == ("image/png", (4, 8), 7)  # type: ignore[index]
    assert shown.info["icc_profile"] == b"a profile"


@pytest.mark.parametrize("data", [REAL_HEIC, TURNED_HEIC, two_colours("JPEG"), two_colours("PNG"), a_picture("GIF")])
def test_a_whole_picture_has_no_damage_and_one_cut_short_has(data: bytes) -> None:
    assert picture_damage(data) == ""
    for share in (0.2, 0.5, 0.8):
        assert picture_damage(data[: int(len(data) * share)])
    assert picture_damage(data[:-12])


def test_boxes_without_a_picture_are_damage() -> None:
    assert picture_damage(a_heic())


def test_heic_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    assert "callsheet[heif]" in picture_damage(REAL_HEIC)
    with pytest.raises(MediaError, match=r"callsheet\[heif\]"):
        prepare_picture(TURNED_HEIC + b"\0\0\0\x08free", BASIC)


def test_metadata_that_cannot_be_read_turns_nothing() -> None:
    data = two_colours("JPEG", 6)
    broken = data.replace(b"II*\x00", b"XX*\x00").replace(b"MM\x00*", b"XX\x00*")
    assert broken != data
    assert not needs_change(broken)
    assert prepare_picture(broken, BASIC) == (broken, "image/jpeg")


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from([REAL_HEIC, TURNED_HEIC, two_colours("JPEG", 6), two_colours("PNG", 3), two_colours("WEBP", 8)]),
    st.data(),
)
def test_bytes_of_any_kind_give_a_picture_or_a_media_error(whole: bytes, data: st.DataObject) -> None:
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    given_bytes = bytes(changed)[: data.draw(st.integers(0, len(whole)))]
    damage = picture_damage(given_bytes)
    try:
        sent, mime_type = prepare_picture(given_bytes, BASIC)
    except MediaError as error:
        sent, mime_type = given_bytes, ""
        damage = damage or str(error)
    assert mime_type in BASIC or damage
    # What is sent unchanged is judged by its head alone; what was changed has been decoded.
    assert sent == given_bytes or opened(sent).size > (0, 0)
    assert damage or opened(sent).size > (0, 0)
