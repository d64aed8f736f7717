"""What is laid over a cut, seen in the decoded frames: where it is, when, and in which colours."""

from __future__ import annotations

import hashlib
import io
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from callsheet.cuts.finishing.brand import Materials, layers_for, read_materials
from callsheet.cuts.finishing.captions import Cue
from callsheet.cuts.finishing.layers import Layer, overlay_graph
from callsheet.errors import MediaError
from callsheet.platforms.spec import PlatformSpec, Zone
from callsheet.shots import Finish, Reference
from tests.support.sound_samples import FFMPEG

WIDTH, HEIGHT, FPS, CLIP_S = 180, 320, 10, 2.0
SPEC = PlatformSpec("tall", "Tall", WIDTH, HEIGHT, safe=Zone(0.06, 0.14, 0.12, 0.35))
GREY = 120


def _png(size=(80, 60), mode="RGBA") -> bytes:
    picture = Image.new(mode, size, (0, 0, 0, 0) if mode == "RGBA" else (20, 90, 200))
    if mode == "RGBA":
        ImageDraw.Draw(picture).ellipse((10, 10, size[0] - 10, size[1] - 10), fill=(230, 30, 60, 255))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _frames(layers: tuple[Layer, ...], seconds: float) -> np.ndarray:
    """The frames of a grey film with these layers, in RGB by BT.709."""
    inputs, graph, outcome = overlay_graph(layers, "v0", 1)
    ground = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709,format=yuv420p[v0];"
    argv = [FFMPEG, "-loglevel", "error", "-f", "lavfi", "-i"]
    argv += [f"color=0x{GREY:02x}{GREY:02x}{GREY:02x}:s={WIDTH}x{HEIGHT}:r={FPS}:d={seconds}", *inputs]
    argv += ["-filter_complex", f"[0:v]{ground}{graph};[{outcome}]scale=in_color_matrix=bt709,format=rgb24[rgb]"]
    done = subprocess.run([*argv, "-map", "[rgb]", "-f", "rawvideo", "-"], capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)


def _changed(frame: np.ndarray) -> tuple[int, int, int, int] | None:
    """The box (left, top, right, bottom) of what is not the ground."""
    rows, columns = np.nonzero(np.abs(frame.astype(int) - GREY).max(axis=2) > 12)
    return (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else None


def _inside_safe_zone(box: tuple[int, int, int, int]) -> bool:
    left, top, right, bottom = box
    safe = SPEC.safe
    return (
        left >= WIDTH * safe.left
        and top >= HEIGHT * safe.top
        and right <= WIDTH * (1 - safe.right)
        and bottom <= HEIGHT * (1 - safe.bottom)
    )


def test_captions_are_seen_in_their_time_inside_the_safe_zone(tmp_path):
    cues = (Cue(0.3, 0.8, "Hello from the whole campaign"), Cue(0.8, 1.2, "שלום"), Cue(1.5, 9.0, "नमस्ते"))
    frames = _frames(layers_for(Materials(cues=cues), SPEC, WIDTH, HEIGHT, CLIP_S, tmp_path), CLIP_S)
    boxes = [_changed(frame) for frame in frames]
    assert [box is not None for box in boxes] == [0.3 <= n / FPS < 1.2 or n / FPS >= 1.5 for n in range(20)]
    assert all(_inside_safe_zone(box) for box in boxes if box)
    assert not np.array_equal(frames[7], frames[8])
    assert frames.max() > 230  # it is white text, not only a box


@pytest.mark.parametrize("end_s", [1.85, 1.93, 1.99, 2.0, 2.5])
def test_captions_add_no_frame_wherever_the_last_one_ends(tmp_path, end_s):
    layers = layers_for(Materials(cues=(Cue(1.0, end_s, "x"),)), SPEC, WIDTH, HEIGHT, CLIP_S, tmp_path)
    assert len(_frames(layers, CLIP_S)) == 20


@pytest.mark.parametrize("size", [(180, 320), (320, 180), (256, 256), (256, 320)])
def test_everything_together_stays_inside_and_apart(tmp_path, size):
    spec = PlatformSpec("any", "Any", *size, safe=SPEC.safe)
    materials = Materials(text="Two sentences here. And another one!", logo=_png(), label="Made with AI")
    captions, logo, label = layers_for(materials, spec, *size, CLIP_S, tmp_path)
    boxes = []
    for layer in (captions, logo, label):
        picture = tmp_path / ("blank.png" if layer is captions else layer.picture)
        with Image.open(picture) as image:
            boxes.append((layer.x, layer.y, layer.x + image.width, layer.y + image.height))
    for left, top, right, bottom in boxes:
        assert left >= size[0] * 0.06
        assert top >= size[1] * 0.14
        assert right <= size[0] * 0.88
        assert bottom <= size[1] * 0.65
    assert boxes[2][2] < boxes[1][0]
    assert boxes[0][1] > max(boxes[1][3], boxes[2][3])


def test_logo_and_label_leave_with_the_clip_and_the_end_card_covers_all(tmp_path):
    materials = Materials(logo=_png(), label="AI", card=_png((160, 90), "RGB"), card_s=0.5)
    frames = _frames(layers_for(materials, SPEC, WIDTH, HEIGHT, 1.0, tmp_path), 1.5)
    assert _inside_safe_zone(_changed(frames[9]))
    assert np.abs(frames[10:].astype(int) - (20, 90, 200)).max() <= 4  # its edge's colour fills the rest: no BT.601


def test_a_logo_keeps_its_colour_and_what_is_transparent_shows_the_film(tmp_path):
    frame = _frames(layers_for(Materials(logo=_png()), SPEC, WIDTH, HEIGHT, 1.0, tmp_path), 0.1)[0]
    left, top, right, bottom = _changed(frame)
    assert np.abs(frame[(top + bottom) // 2, (left + right) // 2].astype(int) - (230, 30, 60)).max() <= 6
    assert np.abs(frame[top, left].astype(int) - GREY).max() <= 12


def test_a_transparent_end_card_stands_on_a_ground_it_is_seen_against(tmp_path):
    buffer = io.BytesIO()
    white = Image.new("RGBA", (50, 50))
    ImageDraw.Draw(white).rectangle((10, 10, 40, 40), fill=(255, 255, 255, 255))
    white.save(buffer, "PNG")
    [card] = layers_for(Materials(card=buffer.getvalue(), card_s=1.0), SPEC, 90, 160, 1.0, tmp_path)
    with Image.open(card.picture) as image:
        assert image.getpixel((0, 0))[:3] == (0, 0, 0)


def test_the_same_materials_give_the_same_bytes(tmp_path):
    materials = Materials(text="One. Two.", label="AI", logo=_png())
    drawn = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        layers_for(materials, SPEC, WIDTH, HEIGHT, CLIP_S, tmp_path / name)
        drawn.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("materials", "message"),
    [
        (Materials(cues=(Cue(5.0, 6.0, "late"),)), r"begin at 5.0 s, when the clip is over \(2.0 s\)"),
        (Materials(cues=(Cue(0.0, 1.0, "w" * 400),)), "does not fit"),
        (Materials(label="日本"), "No font here has 日 本"),
        (Materials(logo=b"no picture"), "The logo cannot be used: not a picture"),
        (Materials(card=_png()[:200]), "The end card cannot be used"),
        (Materials(logo=_png((20, 20))), "The logo is all transparent"),
    ],
)
def test_what_cannot_be_laid_on_is_told(tmp_path, materials, message):
    with pytest.raises(MediaError, match=message):
        layers_for(materials, SPEC, WIDTH, HEIGHT, CLIP_S, tmp_path)


def test_materials_are_the_files_that_the_manifest_was_read_with(tmp_path):
    logo = tmp_path / "logo.png"
    logo.write_bytes(_png())
    reference = Reference(str(logo), hashlib.sha256(_png()).hexdigest(), "image/png", len(_png()))
    assert read_materials(Finish(logo=reference), tmp_path).logo == _png()
    logo.write_bytes(b"other")
    with pytest.raises(MediaError, match=r"logo.png is no longer the file"):
        read_materials(Finish(logo=reference), tmp_path)
    logo.unlink()
    with pytest.raises(MediaError, match=r"logo.png: there is no such file"):
        read_materials(Finish(logo=reference), tmp_path)


def test_many_captions_are_one_input(tmp_path):
    cues = tuple(Cue(n / 10, (n + 1) / 10, str(n)) for n in range(100))
    layers = layers_for(Materials(cues=cues), SPEC, WIDTH, HEIGHT, 10.0, tmp_path)
    inputs, _, _ = overlay_graph(layers, "v0", 1)
    assert inputs.count("-i") == 1
    assert Path(layers[0].picture).read_text().count("caption-") == 100
