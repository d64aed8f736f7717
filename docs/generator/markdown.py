"""Markdown as the generated pages are written in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

NOTE = "\n*This page is made from the code: `python -m docs.generate` writes it.*\n\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; empty cells are a dash."""
    lines = [heads, ["---"] * len(heads), *([_cell(cell) for cell in row] for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|") or "-"


def code(text: object) -> str:
    """Return the text as code, "" for none."""
    return f"`{text}`" if text not in ("", None) else ""


def words(doc: str | None) -> str:
    """Return a docstring as paragraphs."""
    paragraphs = re.split(r"\n\s*\n", (doc or "").strip())
    return "\n\n".join(" ".join(part.split()) for part in paragraphs) + "\n"


def default_of(field: FieldInfo) -> str:
    """Return a field's default as code, "" for none."""
    value = field.default
    is_shown = value not in (None, (), PydanticUndefined) and not isinstance(value, BaseModel)
    return code(str(value) if is_shown else "")
