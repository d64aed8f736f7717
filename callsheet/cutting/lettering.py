"""Text as pictures, in every script that the shipped fonts (or the user's own) have."""

from __future__ import annotations

from pathlib import Path


def missing_glyphs(text: str, font: Path | None = None) -> str:
    """The characters of `text` that no font has, each once, in order; "" when all can be drawn.

    `font` is the user's own (CALLSHEET_FONT), asked first. MediaError when it cannot be read.
    """
    raise NotImplementedError
