from __future__ import annotations

import hashlib
import struct
import zlib
from contextlib import suppress
from fractions import Fraction
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from callsheet.errors import MediaError
from callsheet.files import Digest, digest_file
from callsheet.media.containers import read_layout
from callsheet.media.facts import ImageProbe
from callsheet.media.probe import probe_image, probe_video
from tests.support.media_samples import encoded, make_clip, picture


@pytest.mark.parametrize(("format_", "mime"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
def test_a_whole_picture_is_described_and_a_shortened_one_refused(format_, mime, tmp_path):
    data = encoded(picture(1, (640, 360)), format_)
    path = tmp_path / "picture"
    path.write_bytes(data)
    assert probe_image(data) == probe_image(path) == ImageProbe(640, 360, mime, format_, len(data))
    for length in (len(data) - 2, len(data) // 2, 20):
        with pytest.raises(MediaError):
            probe_image(data[:length])


def test_a_flipped_byte_in_a_png_is_found():
    data = bytearray(encoded(picture(1, (640, 360))))
    data[len(data) // 2] ^= 1
    with pytest.raises(MediaError, match="cut short or damaged"):
        probe_image(bytes(data))


def test_a_jpeg_cut_behind_its_embedded_thumbnail_is_found():
    exif = b"Exif\x00\x00" + encoded(picture(1, (64, 36)), "JPEG")
    buffer = BytesIO()
    picture(2, (640, 360)).save(buffer, "JPEG", exif=exif)
    data = buffer.getvalue()
    assert probe_image(data).width == 640
    with pytest.raises(MediaError):
        probe_image(data[:-100])


@pytest.mark.parametrize("data", [b"", b"<svg/>", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_empty_and_foreign_files_are_not_pictures(data):
    with pytest.raises(MediaError, match="picture"):
        probe_image(data)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded():
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    with pytest.raises(MediaError, match=r"megapixels|bomb"):
        probe_image(bomb)


def test_the_largest_pictures_of_today_are_accepted():
    buffer = BytesIO()
    Image.new("L", (12288, 1536)).save(buffer, "PNG", compress_level=1)
    assert probe_image(buffer.getvalue()).width == 12288


def test_a_clip_is_described_as_it_is(tmp_path):
    probe = probe_video(make_clip(tmp_path / "clip.mp4"))
    assert (probe.width, probe.height, probe.frames, probe.fps, probe.duration_s) == (1280, 720, 24, 24.0, 1.0)
    assert (probe.video_codec, probe.pix_fmt, probe.sar, probe.constant_rate) == ("h264", "yuv420p", Fraction(1), True)
    assert (probe.audio_codec, probe.sample_rate, probe.channels) == ("aac", 48000, 2)
    assert (probe.rotation, probe.has_edit_list, probe.moov_first) == (0, True, False)
    assert (probe.video_start_s, probe.audio_start_s) == (0.0, 0.0)
    assert probe.size == (tmp_path / "clip.mp4").stat().st_size


def test_index_first_and_missing_sound_are_seen(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (360, 640), audio=False, options={"movflags": "+faststart"})
    probe = probe_video(clip)
    assert (probe.moov_first, probe.audio_codec, probe.audio_start_s) == (True, None, None)


def test_a_shortened_clip_is_refused_wherever_it_ends(tmp_path):
    for movflags in ("+faststart", "0"):
        clip = make_clip(tmp_path / "clip.mp4", (320, 180), frames=8, options={"movflags": movflags})
        data = clip.read_bytes()
        for length in (len(data) - 1, len(data) // 2, 40, 8, 0):
            clip.write_bytes(data[:length])
            with pytest.raises(MediaError, match=r"clip\.mp4"):
                probe_video(clip)


def test_a_foreign_file_is_not_a_clip(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(encoded(picture(1)))
    with pytest.raises(MediaError, match="not an MP4"):
        probe_video(path)


@given(st.binary(max_size=300))
@settings(max_examples=150)
def test_any_bytes_behind_an_mp4_head_give_a_layout_or_a_media_error(tmp_path_factory, tail):
    path = tmp_path_factory.getbasetemp() / "any.mp4"
    path.write_bytes(b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00" + tail)
    with suppress(MediaError):
        assert read_layout(path).rotation in (0, 90, 180, 270, None)


@given(data=st.data())
@settings(max_examples=60)
def test_a_damaged_index_gives_a_probe_or_a_media_error(tmp_path_factory, data):
    base = tmp_path_factory.getbasetemp()
    whole = base / "whole.mp4"
    if not whole.exists():
        make_clip(whole, (64, 64), frames=3)
    damaged = bytearray(whole.read_bytes())
    start = damaged.index(b"moov")
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(start, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = base / "damaged.mp4"
    path.write_bytes(damaged)
    with suppress(MediaError):
        assert probe_video(path).duration_s > 0


def test_a_digest_is_that_of_the_whole_file(tmp_path):
    data = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(data)
    expected = Digest(hashlib.sha256(data).hexdigest(), hashlib.md5(data, usedforsecurity=False).hexdigest(), len(data))
    assert digest_file(tmp_path / "file") == expected
