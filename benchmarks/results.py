"""The table of results, and the machine they were measured on.

In a few words.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.bench import Bench, Row

GIB = 1 << 30


def as_text(rows: Sequence[Row]) -> str:
    """Format the rows as a Markdown table."""
    lines = ["| what | callsheet | peer in the same run | compared |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {row.what} | {row.ours} | {row.peer} | {row.compared} |" for row in rows)])


def write_results(path: Path, rows: Sequence[Row], bench: Bench) -> None:
    """Write the page."""
    table = "PartiPrompts" if bench.table else "made-up prompts in the shape of PartiPrompts"
    text = f"""# Results of `make bench`

{datetime.now(UTC):%Y-%m-%d}, {machine()}. Medians of {bench.repeats}; the peers ran in turns with callsheet on the same
machine. The rehearsal service and the Prefect server ran on the same cores. Prompts: {table}. The service answers at
once with one of six pictures that it painted before, so most of them share their bytes and are written to the spool
only a few times; archiving them is not saved by that.

{as_text(rows)}
"""
    path.write_text(text, encoding="utf-8")


def machine() -> str:
    """Describe cores, memory and versions; nothing that names the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores, {memory:.0f} GB of memory, {platform.system()}, Python {platform.python_version()}, "
        f"Prefect {version('prefect')}, google-genai {version('google-genai')}"
    )
