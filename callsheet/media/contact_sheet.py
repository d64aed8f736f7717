"""Sheets of small pictures on one JPEG: the takes of a shot, or tiles of a film."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from callsheet.errors import MediaError
from callsheet.files import replacing
from callsheet.media.probe import probe_video
from callsheet.media.provenance import stamp_jpeg
from callsheet.media.stills import JPEG_QUALITY, small_picture, video_frame

# A sheet travels as a data URI inside a Prefect artifact.
MAX_BYTES = 150_000
MAX_ITEMS = 120
_GAP, _LINE, _INK, _PAPER = 8, 16, (235, 235, 235), (24, 24, 27)
_CHOSEN, _REJECTED = (74, 222, 128), (248, 113, 113)
# Tile side and JPEG quality, from the best downwards until the sheet is small enough.
_STEPS = ((256, 80), (224, 70), (192, 60), (144, 55), (112, 45), (80, 35), (56, 30))
TILES = 12
_TILE_PX = 256


@dataclass(frozen=True, slots=True)
class SheetItem:
    """One tile: a picture or video, two lines of text, and how the choice went.

    A picture or video is a path; a picture may also be bytes.
    """

    picture: Path | bytes | None = field(repr=False)
    label: str
    sublabel: str = ""
    chosen: bool = False
    rejected: bool = False


def contact_sheet(items: Sequence[SheetItem], columns: int = 4) -> bytes:
    """Return a JPEG below 150 kB with one labelled tile per item, at most 120.

    A picture that cannot be read is left blank. Chosen takes have a green frame, rejected ones a red one. Raises
    MediaError for no items or no columns.
    """
    if not items or columns < 1:
        raise MediaError("A contact sheet needs at least one picture and one column.")
    shown = items[:MAX_ITEMS]
    columns = min(columns, len(shown), 12)
    first = _STEPS[0][0]
    pictures = [_load_picture(item.picture, first) for item in shown]
    hidden = len(items) - len(shown)
    for side, quality in _STEPS:
        data = _encode_jpeg(_draw_sheet(shown, pictures, columns, side=side, hidden=hidden), quality)
        if len(data) < MAX_BYTES:
            return data
    return data


def _load_picture(source: Path | bytes | None, side: int) -> Image.Image | None:
    if source is None:
        return None
    try:
        return small_picture(source, side)
    except (MediaError, OSError):
        return None  # the tile says so; the sheet is there to show what happened


def _draw_sheet(
    items: Sequence[SheetItem], pictures: Sequence[Image.Image | None], columns: int, *, side: int, hidden: int
) -> Image.Image:
    tiles = []
    for picture in pictures:
        tile = picture.copy() if picture else None
        if tile:
            tile.thumbnail((side, side), Image.Resampling.BILINEAR)
        tiles.append(tile)
    height = max((tile.height for tile in tiles if tile), default=side * 9 // 16)
    cell_w, cell_h = side + _GAP, height + 2 * _LINE + _GAP
    rows = -(-len(items) // columns)
    sheet = Image.new("RGB", (columns * cell_w + _GAP, rows * cell_h + _GAP + (_LINE if hidden else 0)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (item, tile) in enumerate(zip(items, tiles, strict=True)):
        x, y = _GAP + number % columns * cell_w, _GAP + number // columns * cell_h
        _draw_tile(sheet, draw, item, tile=tile, box=(x, y, side, height))
    if hidden:
        draw.text((_GAP, sheet.height - _LINE - 2), f"and {hidden} more", fill=_INK, font=_load_font())
    return sheet


def _draw_tile(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    item: SheetItem,
    *,
    tile: Image.Image | None,
    box: tuple[int, int, int, int],
) -> None:
    x, y, side, height = box
    if tile:
        sheet.paste(tile, (x + (side - tile.width) // 2, y + (height - tile.height) // 2))
    else:
        draw.rectangle((x, y, x + side - 1, y + height - 1), outline=(90, 90, 96))
        draw.text((x + 6, y + height // 2 - 8), "no picture", fill=(150, 150, 155), font=_load_font())
    colour = _CHOSEN if item.chosen else _REJECTED if item.rejected else None
    if colour:
        draw.rectangle((x - 2, y - 2, x + side + 1, y + height + 1), outline=colour, width=3)
    for line, text in enumerate((item.label, item.sublabel)):
        draw.text((x, y + height + 2 + line * _LINE), _clip_text(text, side), fill=colour or _INK, font=_load_font())


def _clip_text(text: str, width: int) -> str:
    """Return the text on one line, cut to `width` px with dots."""
    text, font = " ".join(text[:200].split()), _load_font()
    if font.getlength(text) <= width:
        return text
    fits = bisect_right(range(len(text)), width, key=lambda length: round(font.getlength(text[:length] + "...")))
    return text[: max(0, fits - 1)] + "..."


@cache
def _load_font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=12)


def _encode_jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def preview_sheet(video: Path, target: Path, tiles: int = TILES, *, xmp: str | None = None) -> None:
    """Write a JPEG of up to `tiles` frames at equal distances, each with its time.

    It is stamped with `xmp`. A short film has a tile a second, at least four. `target` appears only whole. Raises
    MediaError when the video cannot be decoded.
    """
    length_s = probe_video(video).duration_s
    count = min(tiles, max(4, round(length_s)))
    sheet = contact_sheet([_make_tile(video, length_s * (number + 0.5) / count) for number in range(count)])
    with replacing(target) as part:
        part.write_bytes(sheet)
        if xmp is not None:
            stamp_jpeg(part, xmp)


def _make_tile(video: Path, at_s: float) -> SheetItem:
    frame, buffer = video_frame(video, at_s), BytesIO()
    frame.thumbnail((_TILE_PX, _TILE_PX))
    frame.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return SheetItem(buffer.getvalue(), f"{at_s:.1f} s")
