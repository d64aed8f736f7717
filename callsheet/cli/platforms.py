"""`callsheet platforms`: what cuts can be made for."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json
from callsheet.platforms import PlatformSpec, load_platforms
from callsheet.settings import load_settings


def platforms(json: JsonOption = False) -> None:
    """List the platforms that cuts can be made for.

    Shows size, limits, loudness, safe zone, and where each was read.
    """
    known = load_platforms(load_settings().platforms)
    specs = [known.get(name) for name in known.names]
    table = Table()
    for column in ("cut", "for", "pixels", "fps", "seconds", "MB", "video", "LUFS, dBTP", "safe zone", "not verified"):
        table.add_column(column, no_wrap=column == "cut", overflow="fold")
    for spec in specs:
        table.add_row(*(Text(cell) for cell in _cells(spec)))
    out.print(table)
    if any(spec.unverified for spec in specs):
        out.print("Not verified: nobody has looked these up at their source. --json tells every source.")
    if json:
        print_json({"exit_code": 0, "platforms": [_record(spec) for spec in specs]})


def _cells(spec: PlatformSpec) -> tuple[str, ...]:
    safe = spec.safe
    margins = (safe.left, safe.top, safe.right, safe.bottom)
    return (
        spec.name,
        spec.title,
        " ".join(
            [f"{spec.width}x{spec.height}", *(f"or {aspect.numerator}:{aspect.denominator}" for aspect in spec.keeps)]
        ),
        f"{spec.min_fps:g}-{spec.max_fps:g}",
        f"{spec.min_s:g}-{spec.max_s:g}" if spec.max_s else f"{spec.min_s:g}-" if spec.min_s else "",
        f"{spec.max_bytes / 1e6:g}" if spec.max_bytes else "",
        _video(spec),
        f"{spec.lufs:g}, {spec.peak_dbtp:g}",
        " ".join(f"{margin:.0%}" for margin in margins) if any(margins) else "",
        ", ".join(spec.unverified),
    )


def _video(spec: PlatformSpec) -> str:
    parts = [f"GOP {spec.gop_s:g} s"]
    if spec.max_kbps:
        parts.append(f"up to {spec.max_kbps / 1000:g} Mb/s")
    if spec.closed_gop:
        parts.append("closed GOPs")
    return ", ".join(parts)


def _record(spec: PlatformSpec) -> dict[str, Any]:
    facts = [
        {"about": fact.about, "source": fact.source, "checked_on": str(fact.checked_on) if fact.checked_on else None}
        for fact in spec.facts
    ]
    return {**spec.numbers(), "title": spec.title, "unverified": list(spec.unverified), "facts": facts}
