"""The fonts that text is drawn with: those that are shipped, and the user's own before them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import uharfbuzz as hb

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
        """Whether every visible character of `text` can be drawn."""
        return all(ord(char) in self.chars for char in text if is_visible(char))


def typefaces(font: Path | None = None) -> tuple[Typeface, ...]:
    """The typefaces in the order they are asked, the user's own (`font`) first; MediaError when that is no font."""
    shipped = tuple(_open(_FOLDER / f"{name}.ttf") for name in _SHIPPED)
    return shipped if font is None else (_open(font.absolute()), *shipped)


def is_visible(char: str) -> bool:
    """Whether a character needs a glyph; spaces, controls and marks that choose a variant do not."""
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
