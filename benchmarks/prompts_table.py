"""The table of prompts: PartiPrompts, or made-up prompts in its shape.

PartiPrompts where its file is given, else as many made-up ones.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

# The size and the columns of PartiPrompts.tsv (github.com/google-research/parti, Apache 2.0, read 2026-11-21).
ROWS = 1632
HEADER = "Prompt\tCategory\tChallenge\tNote"

_STYLES = ("a photograph of", "an oil painting of", "a woodcut of", "a paper model of", "a wide shot of", "a sketch of")
_THINGS = (
    "a lighthouse",
    "a tram in the rain",
    "three green bottles",
    "a cat asleep on a map",
    "a market at dawn",
    "a steel bridge",
    "an orchard in snow",
    "two chess players",
    "a desk by a window",
    "a harbour crane",
    "a violin maker",
    "a bowl of plums",
    "a mountain hut",
    "a crowded pier",
    "an old typewriter",
    "a fox at the edge of a wood",
    "a kite over dunes",
)
_LIGHTS = ("at noon", "in fog", "by candlelight", "under street lamps", "in late autumn", "from above", "after rain")
_ENDS = ("", ", with muted colours", ", in sharp detail", ", with a red door in the distance")


def prompts_table(given: Path | None, folder: Path, rows: int) -> Path:
    """Write a TSV file of `rows` prompts with the columns of PartiPrompts."""
    lines = given.read_text(encoding="utf-8").splitlines()[1:] if given else made_up(rows)
    target = folder / "prompts.tsv"
    target.write_text("\n".join([HEADER, *lines[:rows]]) + "\n", encoding="utf-8")
    return target


def made_up(rows: int) -> list[str]:
    """Make up rows of different prompts."""
    found = [
        f"{style} {thing} {light}{end}\tScenes\tBasic\tmade up for the benchmark"
        for style, thing, light, end in product(_STYLES, _THINGS, _LIGHTS, _ENDS)
    ]
    return found[:rows]
