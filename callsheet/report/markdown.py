"""Markdown for the Prefect UI that untrusted texts cannot break out of."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence

from callsheet.report.shown import cut

_LONGEST_CELL = 160
_PLAIN = frozenset(" ,;'-")


def escaped(text: str, limit: int = _LONGEST_CELL) -> str:
    """Untrusted text for a Markdown cell: one line, cut, and nothing in it is Markdown, HTML or a link.

    A backslash makes any ASCII punctuation plain text (CommonMark 0.31.2, section 2.4). Numeric references would be
    shown as they are by Prefect's first UI (3.8.8).
    """
    line = " ".join(cut(text, limit).split())
    return "".join(
        f"\\{character}" if character in string.punctuation and character not in _PLAIN else character
        for character in line
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = (f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))
    return "\n".join(lines)


def counts(numbers: Mapping[str, int]) -> str:
    """`3 created, 1 reused`, without what there is none of; "none"."""
    return ", ".join(f"{number:,} {name}" for name, number in numbers.items() if number) or "none"
