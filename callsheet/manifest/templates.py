"""Filling `{placeholders}` in the text of a manifest.

It is plain replacement; nothing is ever evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from callsheet.manifest.columns import MAX_CELL_CHARS

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True, slots=True)
class Rendered:
    """The filled text, and what is wrong with it.

    The placeholders that have no value, whether a single brace stands alone, or it is too long.
    """

    text: str
    unknown: tuple[str, ...] = ()
    stray: bool = False
    overlong: bool = False


def render(text: str, variables: Mapping[str, str], limit: int = MAX_CELL_CHARS) -> Rendered:
    """Replace every `{name}` by its value; `{{` and `}}` are braces.

    Values are not filled again. A name is looked up as it is written (outer blanks apart), so `{a.b}`, `{a[0]}` or
    `{a!r}` are only unknown names.
    """
    if "{" not in text and "}" not in text:
        return Rendered(text)
    unknown: list[str] = []
    stray, room = False, limit

    def fill(token: re.Match[str]) -> str:
        nonlocal stray, room
        name = token.group(1)
        if name is None:
            stray = stray or len(token.group()) == 1
            return token.group()[0]
        value = variables.get(name.strip())
        if value is None:
            unknown.append(name.strip())
            return token.group()
        # Counted while filling, so that many large values never become one huge text.
        room -= len(value)
        return value if room >= 0 else ""

    return Rendered(_TOKEN.sub(fill, text), tuple(unknown), stray, room < 0)


def placeholders(text: str) -> frozenset[str]:
    """Return the names of all placeholders in the text."""
    return frozenset(token.group(1).strip() for token in _TOKEN.finditer(text) if token.group(1) is not None)


def escape(text: str) -> str:
    """Return the text with braces doubled, so that `render` gives it back unchanged."""
    return text.replace("{", "{{").replace("}", "}}")
