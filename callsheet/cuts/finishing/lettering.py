"""Text as pictures, in every script of the shipped fonts or the user's own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from math import ceil
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

from callsheet.cuts.finishing.bidi import is_right_to_left
from callsheet.cuts.finishing.captions import clean_text
from callsheet.cuts.finishing.shaping import Typeface, draw_line, is_visible, reach, shape_line, typefaces
from callsheet.errors import MediaError

# Scripts that put no spaces between words: a line may break before any of these letters (Thai: better than not at all).
_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u303f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]"
)
# What may not begin a line.
_CLINGS = frozenset(
    "!%),.:;?]}\u3001\u3002\u3009\u300b\u300d\u300f\u3011\u3015\u3017\uff01\uff05\uff09\uff0c\uff0e\uff1a\uff1b\uff1f\uff3d\uff5d"
    "\u30fc\u3005"
)
_JOINER = "\u200d"
_SEARCHES = 8


def wrap(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Break `text` into few lines of about equal width, none wider than `width`.

    `measure` returns the width of a piece of text; kerning between words is not counted. Line ends in the text stay.
    What is wider without a space is broken between characters.
    """
    measure = cache(measure)
    return [line for paragraph in text.split("\n") for line in _balance(paragraph, width, measure)]


def _balance(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    best = _fill(text, width, measure)
    narrow, wide = width / max(1, len(best)) * 0.8, width
    for _ in range(_SEARCHES if len(best) > 1 else 0):
        middle = (narrow + wide) / 2
        lines = _fill(text, middle, measure)
        if len(lines) > len(best):
            narrow = middle
        else:
            best, wide = lines, middle
    return best


def _fill(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    lines, used = [""], 0.0
    for piece in _split_pieces(text):
        for part in [piece] if measure(piece.rstrip()) <= width else clusters(piece):
            if lines[-1] and used + measure(part.rstrip()) > width:
                lines.append("")
                used = 0.0
            lines[-1] += part
            used += measure(part)
    return [line.strip() for line in lines if line.strip()]


def _split_pieces(text: str) -> list[str]:
    """Split the text into what is kept together.

    Words with the space after them, and the clusters of scripts without spaces.
    """
    pieces: list[str] = []
    for word in re.findall(r"\S+\s*|\s+", text):
        if not _SPACELESS.search(word):
            pieces.append(word)
            continue
        fresh = True
        for cluster in clusters(word):
            if fresh or (_SPACELESS.match(cluster) and cluster[0] not in _CLINGS):
                pieces.append(cluster)
            else:
                pieces[-1] += cluster
            fresh = False
    return pieces


def clusters(text: str) -> list[str]:
    """Split the text into what a reader takes for one character.

    A letter with its marks, joined letters, an Indic conjunct.
    """
    found: list[str] = []
    for char in text:
        joined = found and (
            unicodedata.category(char) in ("Mn", "Mc", "Me", "Cf")
            or found[-1].endswith(_JOINER)
            or (unicodedata.combining(found[-1][-1]) == 9 and char.isalpha())
        )
        if joined:
            found[-1] += char
        else:
            found.append(char)
    return found


# Text may be drawn so much smaller than asked for, where it would not fit.
_SMALLEST = 0.6
_STEPS = 5
_INK, _EDGE, _BOX = (255, 255, 255, 255), (0, 0, 0, 255), (0, 0, 0, 128)
_EDGE_EM, _PAD_EM, _CORNER_EM, _LEADING_EM = 0.06, 0.3, 0.25, 0.12
# The least room above and below the baseline: capitals, and the tails of letters.
_ASCENT_EM, _DESCENT_EM = 0.85, 0.25


@dataclass(frozen=True, slots=True)
class Block:
    """Wrapped text that fits.

    `size` is the em in pixels, as are all other measures.
    """

    lines: tuple[str, ...]
    size: int
    width: int
    height: int
    ascent: int
    descent: int
    right_to_left: bool


def missing_glyphs(text: str, font: Path | None = None) -> str:
    """Return the characters of `text` that no font has; "" when all can be drawn.

    Each once, in order. `font` is the user's own (CALLSHEET_FONT), searched first. MediaError when it cannot be read.
    """
    faces = typefaces(font)
    chars = dict.fromkeys(char for char in unicodedata.normalize("NFC", text) if is_visible(char))
    return "".join(char for char in chars if not any(face.has(char) for face in faces))


def fit_text(text: str, size: int, width: int, height: int, font: Path | None = None) -> Block:
    """Wrap and balance the text in a box of pixels.

    At `size` or down to 60 % of it. MediaError for characters that no font has, and for text that does not fit.
    """
    text = clean_text(text)
    if missing := missing_glyphs(text, font):
        raise MediaError(
            f"No font here has {' '.join(missing[:20])} of {_quote_start(text)}. Change the text, or name a font file "
            "that has them in CALLSHEET_FONT."
        )
    for step in range(_STEPS):
        block = _lay_out(
            text, max(1, round(size * (1 - (1 - _SMALLEST) * step / (_STEPS - 1)))), width, typefaces(font)
        )
        if block.width <= width and block.height <= height:
            return block
    raise MediaError(f"The text {_quote_start(text)} does not fit into {width}x{height} px. Shorten it or divide it.")


def draw_text(block: Block, font: Path | None = None) -> Image.Image:
    """Draw the block as an RGBA picture of its size.

    White with a dark edge, centred on a translucent dark box.
    """
    faces = typefaces(font)
    picture = Image.new("RGBA", (block.width, block.height))
    pen = ImageDraw.Draw(picture)
    pen.rounded_rectangle((0, 0, block.width - 1, block.height - 1), round(block.size * _CORNER_EM), fill=_BOX)
    ink = Image.new("L", picture.size)
    edge = _measure_edge(block.size)
    y = _measure_pad(block.size)
    for text in block.lines:
        line = draw_line(shape_line(text, faces, block.size, block.right_to_left), block.ascent, block.descent, edge)
        ink.paste(line, ((block.width - line.width) // 2, y), line)
        y += block.ascent + block.descent + round(block.size * _LEADING_EM)
    around = ink.filter(ImageFilter.GaussianBlur(edge)).point([min(255, 4 * value) for value in range(256)])
    picture.paste(_EDGE, mask=around)
    picture.paste(_INK, mask=ink)
    return picture


def _lay_out(text: str, size: int, width: int, faces: tuple[Typeface, ...]) -> Block:
    backwards = is_right_to_left(text)
    around = 2 * (_measure_pad(size) + _measure_edge(size))
    measure = partial(_measure_width, faces=faces, size=size, right_to_left=backwards)
    # Kerning may make a line a little wider than its words.
    lines = wrap(text, (width - around) * 0.99, measure)
    shaped = [shape_line(line, faces, size, backwards) for line in lines]
    above, below = reach(shaped)
    ascent, descent = max(above, round(size * _ASCENT_EM)), max(below, round(size * _DESCENT_EM))
    widest = ceil(max((line.width for line in shaped), default=0.0))
    height = len(lines) * (ascent + descent + round(size * _LEADING_EM)) + 2 * _measure_pad(size)
    return Block(tuple(lines), size, widest + around, height, ascent, descent, backwards)


def _measure_width(text: str, faces: tuple[Typeface, ...], size: int, right_to_left: bool) -> float:
    return shape_line(text, faces, size, right_to_left).width


def _measure_pad(size: int) -> int:
    return round(size * _PAD_EM)


def _measure_edge(size: int) -> int:
    return max(1, round(size * _EDGE_EM))


def _quote_start(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
