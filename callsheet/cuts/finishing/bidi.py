"""Order of mixed left-to-right and right-to-left text.

By Unicode Standard Annex 9.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import groupby
from typing import TypeVar

T = TypeVar("T")
_NEUTRAL = frozenset({"B", "S", "WS", "ON", "BN", "LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def is_right_to_left(text: str) -> bool:
    """Return whether a paragraph is written from the right.

    By its first letter that has a direction (rules P2, P3).
    """
    strong = (unicodedata.bidirectional(char) for char in text)
    return next((kind for kind in strong if kind in ("L", "R", "AL")), "L") != "L"


def levels(text: str, right_to_left: bool) -> list[int]:
    """Return the embedding level of each character: odd is written from the right.

    By the rules for weak and neutral characters and numbers (W1-W7, N1, N2, I1, I2). Characters that embed or isolate
    count as neutral.
    """
    base = "R" if right_to_left else "L"
    kinds = _resolve_neutrals(_resolve_weak([unicodedata.bidirectional(char) or "L" for char in text], base), base)
    if right_to_left:
        return [1 if kind == "R" else 2 for kind in kinds]
    return [0 if kind == "L" else 1 if kind == "R" else 2 for kind in kinds]


def visual_order(runs: Sequence[tuple[int, T]]) -> list[tuple[int, T]]:
    """Sort runs with their levels from left to right as they are seen (rule L2)."""
    order = list(runs)
    for level in range(max((level for level, _ in order), default=0), 0, -1):
        turned: list[tuple[int, T]] = []
        for deep, group in groupby(order, key=lambda run, at=level: run[0] >= at):  # type: ignore[misc]
            part = list(group)
            turned += reversed(part) if deep else part
        order = turned
    return order


def _resolve_weak(kinds: list[str], base: str) -> list[str]:
    strong = base
    for at, kind in enumerate(kinds):
        if kind == "NSM":
            kind = kinds[at - 1] if at else base
        if kind == "EN" and strong == "AL":
            kind = "AN"
        if kind in ("L", "R", "AL"):
            strong = kind
        kinds[at] = kind
    kinds = ["R" if kind == "AL" else kind for kind in kinds]
    for at in range(1, len(kinds) - 1):
        before, kind, after = kinds[at - 1 : at + 2]
        joins = (kind == "CS" and before in ("EN", "AN")) or (kind == "ES" and before == "EN")
        if joins and before == after:
            kinds[at] = before
    return _resolve_numbers(kinds, base)


def _resolve_numbers(kinds: list[str], base: str) -> list[str]:
    """Resolve the kinds of numbers and of the signs beside them.

    Signs beside European numbers belong to them; a number after a left-to-right letter is as that letter.
    """
    start = 0
    for kind, group in groupby(list(kinds)):
        end = start + len(list(group))
        if kind == "ET" and ((start and kinds[start - 1] == "EN") or (end < len(kinds) and kinds[end] == "EN")):
            kinds[start:end] = ["EN"] * (end - start)
        start = end
    strong = base
    for at, kind in enumerate(kinds):
        if kind in ("L", "R"):
            strong = kind
        elif kind == "EN" and strong == "L":
            kinds[at] = "L"
        elif kind in ("ES", "ET", "CS"):
            kinds[at] = "ON"
    return kinds


def _resolve_neutrals(kinds: list[str], base: str) -> list[str]:
    def side(at: int) -> str:
        return base if not 0 <= at < len(kinds) else "L" if kinds[at] == "L" else "R"

    resolved: list[str] = []
    start = 0
    for neutral, group in groupby(kinds, key=_NEUTRAL.__contains__):
        part = list(group)
        end = start + len(part)
        if neutral:
            before, after = side(start - 1), side(end)
            part = [before if before == after else base] * len(part)
        resolved += part
        start = end
    return resolved
