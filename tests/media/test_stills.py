from __future__ import annotations

import xml.etree.ElementTree as ET
from io import BytesIO

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from callsheet.errors import MediaError
from callsheet.files import replacing
from callsheet.media.contact_sheet import MAX_BYTES, SheetItem, contact_sheet
from callsheet.media.probe import probe_image, probe_video
from callsheet.media.provenance import (
    AI_GENERATED,
    Provenance,
    read_jpeg_xmp,
    read_mp4_xmp,
    stamp_jpeg,
    stamp_mp4,
    xmp_packet,
)
from callsheet.media.stills import poster, thumbnail
from tests.support.media_samples import encoded, frame_at, make_clip, picture, turn, video_packets

PACKET = xmp_packet(Provenance("a1b2c3", "veo-3.1"))


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_a_poster_is_the_frame_shown_at_its_time(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (640, 360), frames=24)
    for at_s, number in ((0.0, 0), (0.5, 12), (99.0, 23)):
        assert poster(clip, tmp_path / "p.jpg", at_s, xmp=PACKET) == (640, 360)
        assert np.abs(pixels(tmp_path / "p.jpg") - frame_at(clip, number).astype(int)).mean() < 6
        assert np.abs(pixels(tmp_path / "p.jpg") - frame_at(clip, (number + 8) % 24).astype(int)).mean() > 6
    assert read_jpeg_xmp(tmp_path / "p.jpg") == PACKET


def test_a_turned_clip_has_an_upright_poster_and_thumbnail(tmp_path):
    clip = turn(make_clip(tmp_path / "clip.mp4", (640, 360), frames=4, audio=False), (0, 1, -1, 0))
    assert poster(clip, tmp_path / "p.jpg", 0.0) == (360, 640)
    assert np.abs(pixels(tmp_path / "p.jpg") - np.rot90(frame_at(clip, 0), -1).astype(int)).mean() < 6
    assert thumbnail(clip, tmp_path / "t.jpg", 160) == (90, 160)


def test_a_thumbnail_is_upright_small_and_flat(tmp_path):
    source = tmp_path / "source.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    picture(1, (1600, 900)).save(source, exif=exif)
    assert thumbnail(source, tmp_path / "t.jpg", 480) == (270, 480)
    Image.new("RGBA", (800, 400), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert thumbnail(tmp_path / "clear.png", tmp_path / "t.jpg", 200, xmp=PACKET) == (200, 100)
    assert pixels(tmp_path / "t.jpg").min() > 250
    assert read_jpeg_xmp(tmp_path / "t.jpg") == PACKET


def test_a_damaged_source_gives_an_error_and_no_file(tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(encoded(picture(1))[:9000])
    with pytest.raises(MediaError, match=r"broken\.png"):
        thumbnail(broken, tmp_path / "t.jpg")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.png"]


def test_a_contact_sheet_stays_small_and_shows_every_take(tmp_path):
    takes = [
        SheetItem(encoded(picture(n, (480, 270)), "JPEG"), f"take {n}", "0.83 " * 50, chosen=n == 2, rejected=n == 3)
        for n in range(60)
    ]
    data = contact_sheet([*takes, SheetItem(None, "take 60", "blocked"), SheetItem(b"junk", "\x00日本")], 6)
    assert len(data) < MAX_BYTES
    assert probe_image(data).format == "JPEG"


def test_a_sheet_of_videos_and_of_many_items_is_drawn(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", (320, 180), frames=3, audio=False)
    small = contact_sheet([SheetItem(clip, "clip", chosen=True)], 4)
    with Image.open(BytesIO(small)) as image:
        assert image.getpixel((7, 60))[1] > 150  # the green frame of a chosen tile
    assert len(contact_sheet([SheetItem(clip, "clip")] * 500, 10)) < MAX_BYTES


def test_an_empty_sheet_is_an_error():
    with pytest.raises(MediaError, match="at least one"):
        contact_sheet([])


def test_a_jpeg_is_stamped_once_without_touching_its_pixels(tmp_path):
    path = tmp_path / "a.jpg"
    picture(1).save(path, dpi=(72, 72))
    before = pixels(path)
    stamp_jpeg(path, xmp_packet(Provenance("old", "old")))
    stamp_jpeg(path, PACKET)
    assert read_jpeg_xmp(path) == PACKET
    assert path.read_bytes().count(b"<x:xmpmeta") == 1
    assert (pixels(path) == before).all()
    with Image.open(path) as image:
        assert image.info["xmp"].decode() == PACKET


def test_an_mp4_is_stamped_once_without_touching_its_media(tmp_path):
    path = make_clip(tmp_path / "a.mp4", (320, 180), frames=6)
    before, size = video_packets(path), path.stat().st_size
    stamp_mp4(path, xmp_packet(Provenance("old", "old")))
    stamp_mp4(path, PACKET)
    assert read_mp4_xmp(path) == PACKET
    assert path.stat().st_size == size + len(PACKET.encode()) + 24
    assert video_packets(path) == before
    assert probe_video(path).frames == 6
    with av.open(str(path), options={"export_xmp": "1"}) as container:
        assert AI_GENERATED in container.metadata["xmp"]


def test_only_the_right_kind_of_file_is_stamped(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture(1)))
    for stamp in (stamp_jpeg, stamp_mp4):
        with pytest.raises(MediaError):
            stamp(path, PACKET)
    assert path.read_bytes() == encoded(picture(1))


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_words_give_well_formed_xmp(asset_id, model):
    root = ET.fromstring(xmp_packet(Provenance(asset_id, model)))  # noqa: S314 - our own text
    description = root[0][0]
    assert description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType") == AI_GENERATED
    clean = "".join(char for char in model if char.isprintable())
    assert description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}AISystemUsed") == clean


def test_a_failed_replacement_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path) as part:
        part.with_suffix(".missing").rename(part)
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]
