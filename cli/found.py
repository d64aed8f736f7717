"""What `find` found, for a person: a row of facts for each asset, and under it the whole address of its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from callsheet.archive.layout import link_to
from callsheet.archive.search import Found
from callsheet.report.shown import counted, cut, dollars, role, visible

# Each column, and how wide a window must be to show it.
_COLUMNS = {"created (UTC)": 60, "what": 0, "shot": 0, "batch": 120, "model": 150, "USD": 40, "prompt": 50}
_WIDEST = 32
_LONGEST_CELL = 400


@dataclass(frozen=True, slots=True)
class Listing:
    """The assets as rows of the catalogue. Addresses are never folded or cut, so that they can be copied."""

    assets: Sequence[Mapping[str, Any]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table, one line a row, and put each address under its row."""
        head, *rows = console.render_lines(self._table(options.max_width), options, pad=False)
        yield from _line(head)
        for row, asset in zip(rows, self.assets, strict=True):
            yield from _line(row)
            yield from _line([Segment(f"  {visible(asset['uri'])}", Style(dim=True, link=link_to(asset["uri"])))])

    def _table(self, width: int) -> Table:
        shown = [column for column, needed in _COLUMNS.items() if width >= needed]
        table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
        for column in shown:
            right, last = column == "USD", column == shown[-1]
            table.add_column(
                column,
                no_wrap=True,
                overflow="ellipsis",
                justify="right" if right else "left",
                ratio=1 if last else None,
                max_width=None if last else _WIDEST,
            )
        for asset in self.assets:
            cells = _cells(asset)
            table.add_row(*(Text(cut(" ".join(cells[column].split()), _LONGEST_CELL)) for column in shown))
        return table


def _line(segments: Sequence[Segment]) -> Iterator[Segment]:
    """The segments without the blanks at their end, and a line break."""
    kept = list(segments)
    while kept and not kept[-1].text.strip():
        kept.pop()
    yield from kept[:-1]
    yield from (Segment(one.text.rstrip(), one.style) for one in kept[-1:])
    yield Segment.line()


def _cells(asset: Mapping[str, Any]) -> dict[str, str]:
    created = asset["created"]
    return {
        "created (UTC)": f"{created:%Y-%m-%d %H:%M}" if created else "",
        "what": role(asset["kind"], asset["take"], asset["spec"]),
        "shot": asset["shot"],
        "batch": asset["batch"],
        "model": asset["model"] or "",
        "USD": dollars(asset["usd"] or None).removeprefix("$"),
        "prompt": asset["prompt"] or "",
    }


def summary(found: Found, shown: int) -> str:
    """How many were found and what they cost, in one line."""
    usd, total = found.usd(), found.assets.height
    money = [dollars(usd["live"])] if usd["live"] else []
    money += [f"{dollars(usd['rehearsal'])} rehearsed, not paid"] if usd["rehearsal"] else []
    rest = f", the newest {shown} shown (--limit shows more)" if shown < total else ""
    return f"{counted(total, 'asset')}{rest}, {' and '.join(money) or 'made for nothing'}"


def advice(found: Found) -> Iterator[str]:
    """When nothing fits: what to loosen, in sentences."""
    yield "Nothing in the catalogue fits."
    for one in found.unknown:
        near = f" The nearest: {', '.join(one.nearest)}." if one.nearest else ""
        yield f"No asset has the {one.column.removesuffix('s')} {one.name!r}.{near}"
    if found.without:
        told = (f"without {told} {counted(count, 'asset')}" for told, count in found.without)
        yield f"What would fit: {'; '.join(told)}."
    elif not found.unknown:
        yield "No single condition is in the way: leave out two or more of them."
