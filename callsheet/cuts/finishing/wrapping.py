"""Breaking of text into lines of about equal width."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

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
_STEPS = 8


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
    for _ in range(_STEPS if len(best) > 1 else 0):
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
