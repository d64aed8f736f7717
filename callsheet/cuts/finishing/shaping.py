"""Lines of text shaped by HarfBuzz: which glyph of which font stands where."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from math import ceil
from pathlib import Path

import uharfbuzz as hb
from PIL import Image

from callsheet.cuts.finishing.bidi import levels, visual_order
from callsheet.errors import MediaError

_FOLDER = Path(__file__).parent / "fonts"
# In the order they are asked: signs that several have look like those of Latin.
_SHIPPED = (
    "NotoSans-Bold",
    "NotoSansArabic-Bold",
    "NotoSansHebrew-Bold",
    "NotoSansDevanagari-Bold",
    "NotoSansBengali-Bold",
    "NotoSansTamil-Bold",
    "NotoSansThai-Bold",
    "NotoSansArmenian-Bold",
    "NotoSansGeorgian-Bold",
    "NotoSansSymbols-Bold-part",
    "NotoSansSymbols2-Regular-part",
)


@dataclass(frozen=True, slots=True)
class Typeface:
    """A font file that is open, and the characters it has."""

    path: Path
    chars: frozenset[int]
    face: hb.Face = field(compare=False, repr=False)

    def has(self, text: str) -> bool:
        """Return whether every visible character of `text` can be drawn."""
        return all(ord(char) in self.chars for char in text if is_visible(char))


def typefaces(font: Path | None = None) -> tuple[Typeface, ...]:
    """Open the typefaces in the order of search, the user's own (`font`) first.

    MediaError when that is no font.
    """
    shipped = tuple(_open(_FOLDER / f"{name}.ttf") for name in _SHIPPED)
    return shipped if font is None else (_open(font.absolute()), *shipped)


def is_visible(char: str) -> bool:
    """Return whether a character needs a glyph.

    Spaces, controls and marks that choose a variant do not.
    """
    return not (char.isspace() or unicodedata.category(char) in ("Cc", "Cf") or 0xFE00 <= ord(char) <= 0xFE0F)


@cache
def _open(path: Path) -> Typeface:
    try:
        face = hb.Face(hb.Blob.from_file_path(str(path)))
        chars = frozenset(face.unicodes)
    except (OSError, hb.HarfBuzzError) as error:
        raise MediaError(f"The font {path} cannot be read ({error}). Check CALLSHEET_FONT.") from error
    if not chars or not face.glyph_count:
        raise MediaError(f"{path} is no font that can be used. CALLSHEET_FONT must be a TTF, OTF or TTC file.")
    return Typeface(path, chars, face)


# HarfBuzz reckons in 64ths of a pixel.
_UNIT = 64


@dataclass(frozen=True, slots=True)
class Glyph:
    """A glyph of a font and its place.

    From the line's left end and baseline, in 64ths of a pixel, upwards.
    """

    font: hb.Font
    number: int
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Line:
    """A shaped line. Its width is in pixels."""

    glyphs: tuple[Glyph, ...]
    width: float


def shape_line(text: str, typefaces: Sequence[Typeface], size: int, right_to_left: bool) -> Line:
    """Shape the line as it is seen, each stretch in the first typeface that has it.

    `size` is the em in pixels.
    """
    deep = levels(text, right_to_left)
    chosen = _choose_faces(text, typefaces)
    pieces = list(zip(text, deep, chosen, _find_scripts(text), strict=True))
    runs = []
    for (level, face, _), group in groupby(pieces, key=lambda piece: (piece[1], id(piece[2]), piece[3])):
        part = list(group)
        runs.append((level, ("".join(piece[0] for piece in part), part[0][2], face)))
    glyphs: list[Glyph] = []
    x = 0
    for level, (run, typeface, _) in visual_order(runs):
        font, buffer = _shape(run, typeface, size, level % 2 == 1)
        for info, place in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
            glyphs.append(Glyph(font, info.codepoint, x + place.x_offset, place.y_offset))
            x += place.x_advance
    return Line(tuple(glyphs), x / _UNIT)


def draw_line(line: Line, ascent: int, descent: int, margin: int) -> Image.Image:
    """Draw the line as a mask ("L") with `margin` pixels on either side.

    Its baseline is `ascent` pixels below the top.
    """
    width, height = ceil(line.width) + 2 * margin, ascent + descent
    raster = hb.RasterDraw()
    raster.scale_factor = (_UNIT, _UNIT)
    raster.extents = hb.RasterExtents(x_origin=0, y_origin=-descent, width=width, height=height, stride=0)
    for glyph in line.glyphs:
        raster.transform = (1, 0, 0, 1, margin * _UNIT + glyph.x, glyph.y)
        raster.draw_glyph(glyph.font, glyph.number)
    drawn = raster.render()
    if drawn is None or not drawn.buffer:
        return Image.new("L", (width, height))
    # The first row of HarfBuzz's picture is the lowest.
    return Image.frombytes("L", (width, height), bytes(drawn.buffer), "raw", "L", drawn.extents.stride, -1)


def reach(lines: Sequence[Line]) -> tuple[int, int]:
    """Return how far the glyphs reach above and below the baseline, in pixels.

    By the highest and the deepest of them.
    """
    boxes = [(glyph.y, glyph.font.get_glyph_extents(glyph.number)) for line in lines for glyph in line.glyphs]
    above = max((y + box.y_bearing for y, box in boxes if box), default=0)
    below = max((-(y + box.y_bearing + box.height) for y, box in boxes if box), default=0)
    return ceil(above / _UNIT), ceil(below / _UNIT)


def _shape(text: str, typeface: Typeface, size: int, backwards: bool) -> tuple[hb.Font, hb.Buffer]:
    font, buffer = _scale_font(typeface, size), hb.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    buffer.direction = "rtl" if backwards else "ltr"
    hb.shape(font, buffer)
    return font, buffer


@cache
def _scale_font(typeface: Typeface, size: int) -> hb.Font:
    font = hb.Font(typeface.face)
    font.scale = (size * _UNIT, size * _UNIT)
    return font


def _choose_faces(text: str, typefaces: Sequence[Typeface]) -> list[Typeface]:
    """Return the typeface of each character: the first that has it.

    Or what the one before has where it needs no other.
    """
    faces: list[Typeface] = []
    for char in text:
        before = faces[-1] if faces else None
        if before and (not is_visible(char) or (not char.isalpha() and before.has(char))):
            faces.append(before)
        else:
            faces.append(next((face for face in typefaces if face.has(char)), typefaces[0]))
    return faces


def _find_scripts(text: str) -> list[str]:
    """Return the script of each character.

    Signs and spaces are of the script before them, at the start of the one after.
    """
    scripts = [_find_script(char) for char in text]
    last = next((script for script in scripts if script), "")
    for at, script in enumerate(scripts):
        last = scripts[at] = script or last
    return scripts


@cache
def _find_script(char: str) -> str:
    buffer = hb.Buffer()
    buffer.add_str(char)
    buffer.guess_segment_properties()
    script = str(buffer.script or "")
    return "" if script in ("Zyyy", "Zinh", "Zzzz", "None") else script
