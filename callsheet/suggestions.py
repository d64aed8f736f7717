"""Suggestions: the nearest known word or aspect ratio to an unknown one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice

from rapidfuzz import process

# A suggestion compares a word with every choice.
MAX_CHOICES = 2_000


def nearest(word: str, choices: Iterable[str], cutoff: float = 60.0) -> str | None:
    """Return the choice most like `word` (case ignored).

    None when none is at all like it, or they are too many to compare.
    """
    listed = tuple(islice(choices, MAX_CHOICES + 1))
    return _find_nearest(word[:200], listed, cutoff) if len(listed) <= MAX_CHOICES else None


@lru_cache(maxsize=4096)  # a mistake is often made in every row
def _find_nearest(word: str, choices: tuple[str, ...], cutoff: float) -> str | None:
    match = process.extractOne(word, choices, processor=str.casefold, score_cutoff=cutoff)
    return match[0] if match else None


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `did you mean ...?` for the nearest choice, or an empty text."""
    guess = nearest(word, choices)
    return f"did you mean {guess}?" if guess else ""


def nearest_ratio(wanted: str, ratios: Sequence[str]) -> str | None:
    """Return the aspect ratio whose shape is closest to `wanted` ("W:H").

    None when that is no ratio.
    """
    value = ratio_value(wanted)
    if value is None or not ratios:
        return None
    # Distances are compared as factors, so 1:2 is as far from 1:1 as 2:1 is.
    return min(ratios, key=lambda ratio: max(value / (ratio_value(ratio) or 1), (ratio_value(ratio) or 1) / value))


def ratio_value(ratio: str) -> float | None:
    """Return width divided by height of "W:H", None when it is not of that form."""
    width, _, height = ratio.partition(":")
    if not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        return None
    return int(width) / int(height) if int(width) and int(height) and len(ratio) <= 11 else None
