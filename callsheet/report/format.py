"""Formats of values for people.

Prompts are untrusted: what cannot be seen is made visible, what is too long is cut.
"""

from __future__ import annotations

import unicodedata
from decimal import Decimal

# Characters that turn the direction of the text around them (Unicode TR 9).
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(text: str) -> str:
    """Replace control and direction characters by a mark, except line breaks."""
    return "".join("\ufffd" if _is_hidden(character) else character for character in text)


def truncate(text: str, limit: int) -> str:
    """Return the visible text, at most `limit` characters.

    An ellipsis says that there is more.
    """
    return visible(text) if len(text) <= limit else visible(text[: limit - 1]).rstrip() + "…"


def dollars(amount: Decimal | float | None) -> str:
    """Format an amount in US dollars; empty when not known.

    In tenths of a cent below one dollar, where pictures are.
    """
    if amount is None:
        return ""
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.3f}"


def size(count: int) -> str:
    """Format a number of bytes in kB or MB (powers of ten)."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"


def format_count(count: int, noun: str) -> str:
    """Format a count with its noun: `1 clip`, `2 clips`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def role(kind: str, take: int | None, spec: str | None) -> str:
    """Name which file of its shot an asset is: `take 2`, `clip`, `cut 9x16`."""
    number = take if kind == "take" else None
    return " ".join(str(one) for one in (kind, number, spec) if one is not None)


def _is_hidden(character: str) -> bool:
    return character in _DIRECTION or (unicodedata.category(character) in {"Cc", "Cs"} and character not in "\n\t")
