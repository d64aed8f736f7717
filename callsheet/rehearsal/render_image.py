"""Rehearsal pictures: a landscape that varies with prompt, seed and take.

They show the prompt's beginning, and REHEARSAL. The same `PictureSpec` gives the same bytes (for one version of Pillow
and numpy). Sources of every figure here: measured 2026-11-21 on two shared cores, 1376x768: about 60 ms of CPU for PNG,
35 ms for JPEG.
"""

from __future__ import annotations

import hashlib
import io
import random
import textwrap
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps, UnidentifiedImageError

from callsheet.errors import MediaError
from callsheet.media.containers import HEAD_BYTES, HEIC_TYPES, picture_type
from callsheet.media.input_pictures import open_input
from callsheet.rehearsal import palettes, scenes

# Painted at this width or height at most, then scaled up: full size would take four times as long.
PAINTED_PX = 704
CAPTION_CHARACTERS = 96
CARDS = 4
# Reference pictures over this many pixels are refused: they could be made to exhaust memory.
MAX_PIXELS = 64_000_000

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class PictureFlaw(Enum):
    """What is odd about a take, so that choosing among takes has work to do."""

    PLAIN = "plain"
    NEAR_DUPLICATE = "near-duplicate"
    BLURRED = "blurred"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class PictureSpec:
    """What determines a picture.

    `take` counts acceptances of the same request; with a seed it does not matter. `style` is the system instruction.
    """

    prompt: str
    width: int
    height: int
    mime_type: str = "image/png"
    seed: int | None = None
    take: int = 1
    references: tuple[bytes, ...] = field(default=(), repr=False)
    style: str = ""


def render(wish: PictureSpec) -> bytes:
    """Return the encoded picture."""
    return encode(picture(wish), wish.mime_type)


def picture(wish: PictureSpec) -> Image.Image:
    """Paint the picture in RGB, `wish.width` x `wish.height`."""
    odd = look(wish)
    shown_take = 1 if odd is PictureFlaw.NEAR_DUPLICATE else wish.take
    rng = random.Random(_compute_digest(wish, shown_take))  # noqa: S311 - a picture, not a secret
    references = [open_picture(data) for data in wish.references]
    palette = palettes.choose(rng)
    if references:
        palette = palettes.tinted(palette, *_pick_three_colours(references[0]))
    scale = min(1.0, PAINTED_PX / max(wish.width, wish.height))
    small = scenes.paint(rng, palette, max(16, round(wish.width * scale)), max(16, round(wish.height * scale)))
    _draw_scrim(small)
    image = Image.fromarray(small).resize((wish.width, wish.height), Image.Resampling.BICUBIC)
    _draw_cards(image, references)
    _draw_caption(image, wish.prompt, f"take {wish.take}" if wish.seed is None else f"seed {wish.seed}")
    return _apply_look(image, odd)


def look(wish: PictureSpec) -> PictureFlaw:
    """Choose what is odd about a take.

    Of later takes without a seed about one in seven repeats the first take and one in nine is blurred or dark.
    """
    if wish.take <= 1 or wish.seed is not None:
        return PictureFlaw.PLAIN
    number = int.from_bytes(hashlib.sha256(b"look" + _compute_digest(wish, wish.take)).digest()[:8], "big")
    if number % 7 == 0:
        return PictureFlaw.NEAR_DUPLICATE
    if number // 7 % 9 == 0:
        return PictureFlaw.BLURRED if number // 63 % 2 else PictureFlaw.DARK
    return PictureFlaw.PLAIN


def encode(image: Image.Image, mime_type: str) -> bytes:
    """Encode as PNG at level 1 or JPEG at quality 90.

    Level 1 takes a third of the default's time.
    """
    out = io.BytesIO()
    if mime_type == "image/jpeg":
        image.save(out, "JPEG", quality=90)
    else:
        image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def open_picture(data: bytes) -> Image.Image:
    """Open a given picture in RGB.

    Raises ValueError when it is not a picture or too large to look at.
    """
    try:
        is_heic = picture_type(data[:HEAD_BYTES]) in HEIC_TYPES
        image = open_input(data) if is_heic else Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width}x{image.height} pixels are too many")
        return ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError, MediaError) as error:
        raise ValueError("not a PNG, JPEG or WebP picture") from error


def check_input(data: bytes, taken: Collection[str]) -> None:
    """Raise ValueError for a picture that is none, or of a type not taken."""
    open_picture(data)
    if picture_type(data[:HEAD_BYTES]) not in taken:
        raise ValueError("not a picture of a type that the model takes")


def _compute_digest(wish: PictureSpec, take: int) -> bytes:
    variant = f"seed {wish.seed}" if wish.seed is not None else f"take {take}"
    digest = hashlib.sha256(f"{wish.style}{wish.prompt}\0{variant}\0".encode())
    for data in wish.references:
        digest.update(hashlib.sha256(data).digest())
    return digest.digest()


def _pick_three_colours(image: Image.Image) -> tuple[palettes.Colour, palettes.Colour, palettes.Colour]:
    cells = np.asarray(image.resize((1, 3), Image.Resampling.BOX), dtype=np.float64)
    top, middle, bottom = ((float(r), float(g), float(b)) for r, g, b in cells[:, 0, :])
    return top, middle, bottom


def _draw_scrim(canvas: scenes.Canvas) -> None:
    """Darken towards the bottom, where the caption stands."""
    rows = canvas[int(len(canvas) * 0.68) :]
    shade = np.linspace(1, 0.42, len(rows), dtype=np.float32)[:, None, None]
    rows[...] = (rows * shade).astype(np.uint8)


def _apply_look(image: Image.Image, odd: PictureFlaw) -> Image.Image:
    if odd is PictureFlaw.BLURRED:
        return image.filter(ImageFilter.BoxBlur(max(image.size) / 300))
    if odd is PictureFlaw.DARK:
        return ImageEnhance.Brightness(image).enhance(0.16)
    if odd is PictureFlaw.NEAR_DUPLICATE:
        return ImageEnhance.Brightness(image).enhance(1.03)
    return image


def _draw_cards(image: Image.Image, references: list[Image.Image]) -> None:
    """Draw reference pictures as small framed cards, from the right edge."""
    side = min(image.size) // 4
    gap = max(2, side // 12)
    x = image.width - gap
    for reference in references[:CARDS]:
        card = ImageOps.expand(ImageOps.contain(reference, (side, side)), max(2, side // 36), (250, 248, 242))
        x -= card.width + gap
        if x < 0:
            return
        image.paste(card, (x, 2 * gap))


@lru_cache(maxsize=32)
def _load_font(size: int) -> Font:
    return ImageFont.load_default(size=size)


def _draw_caption(image: Image.Image, prompt: str, variant: str) -> None:
    width, height = image.size
    unit = max(9, min(width, height) // 24)
    margin = unit
    draw = ImageDraw.Draw(image, "RGBA")
    _draw_badge(draw, margin, max(8, int(unit * 0.62)), "R E H E A R S A L", variant)
    shown = textwrap.shorten(prompt[: 8 * CAPTION_CHARACTERS], CAPTION_CHARACTERS, placeholder=" …") or "(no prompt)"
    columns = max(10, int((width - 2 * margin) / (unit * 0.56)))
    lines = textwrap.wrap(shown, columns, max_lines=2, placeholder=" …")
    draw.multiline_text(
        (margin, height - margin),
        "\n".join(lines),
        font=_load_font(unit),
        fill=(255, 255, 255, 235),
        anchor="ld",
        spacing=unit // 4,
    )


def _draw_badge(draw: ImageDraw.ImageDraw, margin: int, size: int, text: str, small: str) -> None:
    font = _load_font(size)
    wide = draw.textlength(text, font=font)
    box = (margin, margin, margin + wide + size * 1.6, margin + size * 2)
    draw.rounded_rectangle(box, radius=size, fill=(255, 255, 255, 216))
    middle = margin + size
    draw.text((margin + size * 0.8, middle), text, font=font, fill=(30, 30, 40, 255), anchor="lm")
    draw.text((box[2] + size * 0.6, middle), small, font=font, fill=(255, 255, 255, 225), anchor="lm")
