"""Layers over a cut: captions, logo, disclosure label and end card.

Drawn for one size and one safe zone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from callsheet.cuts.finishing.captions import Cue, read_captions, spread_text
from callsheet.cuts.finishing.layers import Layer, write_reel
from callsheet.cuts.finishing.lettering import draw_text, fit_text
from callsheet.cuts.sound.stems import MAX_MUSIC_BYTES
from callsheet.errors import ManifestError, MediaError
from callsheet.media.probe import open_image
from callsheet.platforms.spec import PlatformSpec
from callsheet.shots import Finish, Reference
from callsheet.sources import read_bytes

# Four bytes each while it is worked on.
MAX_PIXELS = 40_000_000


def logo_picture(data: bytes, width: int, height: int) -> Image.Image:
    """Scale the logo to fit a box of pixels, with its transparency.

    MediaError when it cannot be used.
    """
    logo = _open(data, "logo", width, height)
    box = logo.getchannel("A").getbbox()
    if box is None:
        raise MediaError("The logo is all transparent. Give another file.")
    return _fit(logo.crop(box), width, height)


def card_picture(data: bytes, width: int, height: int) -> Image.Image:
    """Draw the end card, whole, in the middle of a picture of this size.

    MediaError when it cannot be used. What it does not fill has the colour of its edge; where that is transparent,
    white or black, whichever it stands out against.
    """
    card = _fit(_open(data, "end card", width, height), width, height)
    picture = Image.new("RGBA", (width, height), _choose_ground(card))
    picture.alpha_composite(card, ((width - card.width) // 2, (height - card.height) // 2))
    return picture


def _open(data: bytes, what: str, width: int, height: int) -> Image.Image:
    try:
        with open_image(BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise MediaError(f"{image.width}x{image.height} is more than {MAX_PIXELS // 1_000_000} megapixels.")
            image.draft("RGB", (2 * width, 2 * height))  # a large JPEG is decoded no larger than is needed
            return ImageOps.exif_transpose(image).convert("RGBA")
    except (MediaError, OSError, SyntaxError, ValueError) as error:
        raise MediaError(f"The {what} cannot be used: {error}") from error


def _fit(picture: Image.Image, width: int, height: int) -> Image.Image:
    scale = min(width / picture.width, height / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    # Colours of transparent pixels must not bleed into the others.
    return picture.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")


def _choose_ground(card: Image.Image) -> tuple[int, int, int]:
    pixels = np.asarray(card, dtype=np.float64)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if edge[:, 3].min() > 250:
        red, green, blue = (round(value) for value in np.median(edge[:, :3], axis=0))
        return red, green, blue
    seen = pixels[pixels[..., 3] > 128]
    light = seen[:, :3].mean() if len(seen) else 0.0
    return (0, 0, 0) if light > 127 else (255, 255, 255)


MAX_PICTURE_BYTES = 20 * 1024 * 1024
MAX_CAPTION_BYTES = 1024 * 1024
# Shares of the picture's short side: sizes of text, and what is kept free at the edges where no control covers them.
_CAPTION_EM, _LABEL_EM, _MARGIN = 0.055, 0.032, 0.04
# Shares of the picture's width and height.
_LOGO_WIDTH, _LOGO_HEIGHT = 0.16, 0.1
# Captions have the lower half of the safe zone, label and logo its upper corners.
_CAPTION_HEIGHT, _LABEL_HEIGHT = 0.5, 0.25


@dataclass(frozen=True, slots=True)
class Materials:
    """The materials that a shot's Finish names, read from its files and checked.

    Pictures are the bytes of PNG, JPEG or WebP. `text` are captions without times, spread over the clip. `card_s` is
    0.0 when there is no end card. `font` is the user's own font file.
    """

    cues: tuple[Cue, ...] = ()
    text: str | None = None
    logo: bytes | None = None
    card: bytes | None = None
    card_s: float = 0.0
    label: str | None = None
    music: Path | None = None
    font: Path | None = None


def read_materials(finish: Finish, folder: Path, font: Path | None = None) -> Materials:
    """Read the materials of `finish`; music is copied to `folder`.

    Blocks while it reads. MediaError when a file is gone, is not the one whose hash the manifest's reading took down,
    or cannot be used.
    """
    cues: tuple[Cue, ...] = ()
    if finish.captions_file:
        cues = read_captions(_read(finish.captions_file, MAX_CAPTION_BYTES), Path(finish.captions_file.uri).name)
    music = None
    if finish.music:
        music = folder / f"music-{finish.music.sha256[:12]}"
        music.write_bytes(_read(finish.music, MAX_MUSIC_BYTES))
    return Materials(
        cues=cues,
        text=finish.captions,
        logo=_read(finish.logo, MAX_PICTURE_BYTES) if finish.logo else None,
        card=_read(finish.end_card, MAX_PICTURE_BYTES) if finish.end_card else None,
        card_s=finish.end_card_s if finish.end_card else 0.0,
        label=finish.label,
        music=music,
        font=font,
    )


def layers_for(
    materials: Materials, spec: PlatformSpec, width: int, height: int, clip_s: float, folder: Path
) -> tuple[Layer, ...]:
    """Draw the layers of a cut of `width` x `height` pixels into `folder`.

    They are in the order they are laid on. Captions, logo and label are inside the safe zone of `spec` and are seen
    while the clip is, `clip_s` seconds. The end card is a last layer over everything from `clip_s` on, so the cut is to
    be `clip_s + materials.card_s` long. The same arguments give the same bytes. MediaError for characters that no font
    has, and for text that does not fit.
    """
    room = _find_room(spec, width, height)
    end = clip_s if materials.card else None
    layers: list[Layer] = []
    cues = _choose_cues(materials, clip_s)
    if cues:
        layers.append(_draw_captions(cues, room, clip_s, folder, materials.font))
    taken = 0
    if materials.logo:
        logo = logo_picture(materials.logo, round(width * _LOGO_WIDTH), round(height * _LOGO_HEIGHT))
        layers.append(_save_layer(logo, Layer(folder / "logo.png", room.right - logo.width, room.top, end_s=end)))
        taken = logo.width + room.gap
    if materials.label:
        size = round(min(width, height) * _LABEL_EM)
        most = round((room.bottom - room.top) * _LABEL_HEIGHT)
        block = fit_text(materials.label, size, room.right - room.left - taken, most, materials.font)
        layers.append(
            _save_layer(draw_text(block, materials.font), Layer(folder / "label.png", room.left, room.top, end_s=end))
        )
    if materials.card:
        card = card_picture(materials.card, width, height)
        layers.append(_save_layer(card, Layer(folder / "card.png", 0, 0, start_s=clip_s)))
    return tuple(layers)


@dataclass(frozen=True, slots=True)
class _Room:
    """The box that nothing of a platform covers, in even pixels.

    `gap` is a distance that looks well, `caption_px` the em of captions.
    """

    left: int
    top: int
    right: int
    bottom: int
    gap: int
    caption_px: int


def _find_room(spec: PlatformSpec, width: int, height: int) -> _Room:
    safe, least = spec.safe, min(width, height) * _MARGIN
    left, top = max(width * safe.left, least), max(height * safe.top, least)
    right, bottom = width - max(width * safe.right, least), height - max(height * safe.bottom, least)
    caption_px = round(min(width, height) * _CAPTION_EM)
    box = _round_up(left), _round_up(top), int(right) // 2 * 2, int(bottom) // 2 * 2
    return _Room(*box, gap=_round_up(least / 2), caption_px=caption_px)


def _round_up(value: float) -> int:
    return int(-(-value // 2) * 2)


def _choose_cues(materials: Materials, clip_s: float) -> list[Cue]:
    cues = materials.cues or (spread_text(materials.text, clip_s) if materials.text else ())
    shown = [Cue(cue.start_s, min(cue.end_s, clip_s), cue.text) for cue in cues if cue.start_s < clip_s]
    if cues and not shown:
        raise MediaError(
            f"The captions begin at {cues[0].start_s:.1f} s, when the clip is over ({clip_s:.1f} s). Check their times."
        )
    return shown


def _draw_captions(cues: list[Cue], room: _Room, clip_s: float, folder: Path, font: Path | None) -> Layer:
    """Draw all captions as one layer, at the bottom of the room and in its middle.

    It has the size of the largest.
    """
    box = room.right - room.left, round((room.bottom - room.top) * _CAPTION_HEIGHT)
    blocks = [fit_text(cue.text, room.caption_px, *box, font) for cue in cues]
    smallest = min(block.size for block in blocks)
    drawn = [
        draw_text(block if block.size == smallest else fit_text(cue.text, smallest, *box, font), font)
        for cue, block in zip(cues, blocks, strict=True)
    ]
    width, height = _round_up(max(one.width for one in drawn)), _round_up(max(one.height for one in drawn))
    pictures = []
    for one in drawn:
        picture = Image.new("RGBA", (width, height))
        picture.paste(one, ((width - one.width) // 2, height - one.height))
        pictures.append(picture)
    shown = [(cue.start_s, cue.end_s, picture) for cue, picture in zip(cues, pictures, strict=True)]
    reel = write_reel(shown, clip_s, folder)
    x = (room.left + room.right - width) // 4 * 2
    return Layer(reel, max(room.left, x), room.bottom - height)


def _save_layer(picture: Image.Image, layer: Layer) -> Layer:
    picture.save(layer.picture, compress_level=1)
    return replace(layer, x=layer.x // 2 * 2, y=layer.y // 2 * 2)


def _read(reference: Reference, limit: int) -> bytes:
    name = Path(reference.uri).name
    try:
        data = read_bytes(reference.uri, limit)
    except ManifestError as error:
        raise MediaError(f"{name}: {error.problems[0].what}. Put the file back, or change the manifest.") from error
    if hashlib.sha256(data).hexdigest() != reference.sha256:
        raise MediaError(f"{name} is no longer the file that the manifest was read with. Run the manifest again.")
    return data
