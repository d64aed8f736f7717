"""`callsheet find`: search the catalogue of all batches of an archive."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from callsheet.archive.layout import link_to
from callsheet.archive.open import open_archive
from callsheet.archive.store import Store
from callsheet.cli.options import ArchiveOption, JsonOption, costs, names, nearest, one_of, period
from callsheet.cli.output import err, out, print_json, say
from callsheet.errors import SettingsError
from callsheet.report.format import dollars, format_count, role, truncate, visible
from callsheet.settings import Settings, load_settings
from callsheet.shots import KINDS, Mode

if TYPE_CHECKING:  # the help and wrong usage are told at once
    from callsheet.archive.search import SearchResult
    from callsheet.archive.search_query import Query

# Each column, and how wide a window must be to show it.
_COLUMNS = {"created (UTC)": 60, "what": 0, "shot": 0, "batch": 120, "model": 150, "USD": 40, "prompt": 50}
_WIDEST = 32
_LONGEST_CELL = 400


@dataclass(frozen=True, slots=True)
class Listing:
    """The assets as rows of the catalogue.

    Addresses are never folded or cut, so that they can be copied.
    """

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
            table.add_row(*(Text(truncate(" ".join(cells[column].split()), _LONGEST_CELL)) for column in shown))
        return table


def _line(segments: Sequence[Segment]) -> Iterator[Segment]:
    """Return the segments without the blanks at their end, and a line break."""
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
        "what": role(asset["kind"], asset["take"], asset["spec"]) + describe_parent(asset["parameters"]),
        "shot": asset["shot"],
        "batch": asset["batch"],
        "model": asset["model"] or "",
        "USD": dollars(asset["usd"] or None).removeprefix("$"),
        "prompt": asset["prompt"] or "",
    }


def describe_parent(parameters: str | None) -> str:
    """Say what a picture is made of: ", edit of kite:2", or "" for none."""
    try:
        told = json.loads(parameters or "{}")
    except ValueError:
        return ""
    parent = told.get("edit_of") if isinstance(told, dict) else None
    return f", edit of {parent}" if isinstance(parent, str) else ""


def summary(found: SearchResult, shown: int) -> str:
    """How many were found and what they cost, in one line."""
    usd, total = found.usd(), found.assets.height
    money = [dollars(usd["live"])] if usd["live"] else []
    money += [f"{dollars(usd['rehearsal'])} rehearsed, not paid"] if usd["rehearsal"] else []
    rest = f", the newest {shown} shown (--limit shows more)" if shown < total else ""
    return f"{format_count(total, 'asset')}{rest}, {' and '.join(money) or 'made for nothing'}"


def advice(found: SearchResult) -> Iterator[str]:
    """When nothing fits: what to loosen, in sentences."""
    yield "Nothing in the catalogue fits."
    for one in found.unknown:
        near = f" The nearest: {', '.join(one.nearest)}." if one.nearest else ""
        yield f"No asset has the {one.column.removesuffix('s')} {one.name!r}.{near}"
    if found.without:
        told = (f"without {told} {format_count(count, 'asset')}" for told, count in found.without)
        yield f"What would fit: {'; '.join(told)}."
    elif not found.unknown:
        yield "No single condition is in the way: leave out two or more of them."


# Rows of the table and assets of the page, where --limit does not say otherwise; --json has all of them.
ROWS, CARDS = 50, 300
Names = list[str] | None


def find(
    text: Annotated[Names, typer.Argument(help="Words of prompt, shot, tags or campaign; all must appear.")] = None,
    campaign: Annotated[Names, typer.Option(help="Campaign; * and ? stand for any text. Repeatable.")] = None,
    batch: Annotated[Names, typer.Option(help="Batch, such as demo.rehearsal or demo.*; repeatable.")] = None,
    shot: Annotated[Names, typer.Option(help="Id of a shot, or hero-*; repeatable.")] = None,
    model: Annotated[Names, typer.Option(help="Model or a part of its name, such as veo; repeatable.")] = None,
    kind: Annotated[Names, typer.Option(help=f"One of {', '.join(KINDS)}; repeatable.")] = None,
    tag: Annotated[Names, typer.Option(help="Tag; of several, all must be there.")] = None,
    mode: Annotated[str | None, typer.Option(help="live or rehearsal; default: both.")] = None,
    since: Annotated[str | None, typer.Option(help="Made on this day (UTC) or later, such as 2026-11-01.")] = None,
    until: Annotated[str | None, typer.Option(help="Made on this day or earlier.")] = None,
    min_usd: Annotated[str | None, typer.Option(help="Cost at least this much.")] = None,
    max_usd: Annotated[str | None, typer.Option(help="Cost at most this much.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help=f"Show so many, the newest; default {ROWS}.")] = None,
    archive: ArchiveOption = None,
    gallery: Annotated[Path | None, typer.Option(help="Write a page with what was found to this file.")] = None,
    json: JsonOption = False,
) -> None:
    """Find pictures, clips and cuts of all batches of an archive."""
    from callsheet.archive.search_query import Query

    started = time.monotonic()
    settings = load_settings(archive=archive)
    first, after = period(since, until)
    least, most = costs(min_usd, max_usd)
    query = Query(
        words=tuple(word for words in text or () for word in words.split()),
        campaigns=names("--campaign", campaign),
        batches=names("--batch", batch),
        shots=names("--shot", shot),
        models=names("--model", model),
        kinds=tuple(one_of("--kind", name, KINDS) for name in kind or ()),
        tags=names("--tag", tag),
        mode=cast(Mode, one_of("--mode", mode, ("live", "rehearsal"))) if mode is not None else None,
        since=first,
        until=after,
        min_usd=least,
        max_usd=most,
    )
    cards = (limit or CARDS) if gallery else 0
    found, stills, place = asyncio.run(_find(settings, query, cards))
    if gallery:
        _write_page(gallery, place, query, found, cards, stills)
    _show(found, limit or ROWS, gallery)
    if json:
        told = _describe_found(found, limit or found.assets.height)
        page = str(gallery.absolute()) if gallery else None
        elapsed_s = round(time.monotonic() - started, 3)
        print_json({"exit_code": 0, "archive": place, **told, "gallery": page, "elapsed_s": elapsed_s})


def _describe_found(found: SearchResult, most: int) -> dict[str, Any]:
    assets = [_as_json(asset) for asset in found.assets.head(most).rows(named=True)]
    return {
        "total": found.assets.height,
        "usd": found.usd(),
        "shown": len(assets),
        "assets": assets,
        "advice": list(advice(found)) if found.assets.is_empty() else [],
        "warnings": list(found.warnings),
    }


async def _find(settings: Settings, query: Query, cards: int) -> tuple[SearchResult, dict[str, str], str]:
    """Return what was found, the stills for a page, and the address of the archive.

    The stills are those of the first so many cards.
    """
    from callsheet.archive import search

    store = open_archive(settings)
    try:
        with err.status(f"Searching {store.uri} ...") if err.is_terminal else nullcontext():
            found = await search.find(store, query, cache=settings.parts_cache)
            _refuse_unknown_models(found, settings)
            return found, await _stills(store, found, cards), store.uri
    finally:
        await store.aclose()


async def _stills(store: Store, found: SearchResult, cards: int) -> dict[str, str]:
    """Small pictures of what is in a bucket, which a page cannot load by itself."""
    if not cards or "://" not in store.uri:
        return {}
    from callsheet.report.page import stills

    return await stills(store, found.assets.head(cards).rows(named=True))


def _write_page(
    page: Path, place: str, query: Query, found: SearchResult, cards: int, stills: Mapping[str, str]
) -> None:
    from callsheet.archive.search_query import conditions
    from callsheet.report.page import Search, finds_html

    asked = (*query.words, *(one.told for one in conditions(query) if one.on != "text"))
    search = Search(asked, place, datetime.now(UTC), found.assets.height, found.usd())
    html = finds_html(search, found.assets.head(cards).rows(named=True), page.absolute(), stills)
    try:
        page.write_text(html, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--gallery {page}: it cannot be written: {error.strerror}. Name another file.") from error


def _show(found: SearchResult, rows: int, page: Path | None) -> None:
    for warning in found.warnings:
        say(f"warning: {warning}")
    for name in found.missed:
        say(f"None of these has {name}.")
    if found.assets.is_empty():
        out.print("\n".join(advice(found)), markup=False)
        return
    shown = found.assets.head(rows).rows(named=True)
    out.print(Listing(shown))
    out.print(summary(found, len(shown)), markup=False)
    if page:
        out.print(f"Page: {page.absolute()}", markup=False)


def _refuse_unknown_models(found: SearchResult, settings: Settings) -> None:
    """Refuse a model that no asset has and that nobody knows: a slip of the pen.

    One that is known was not used.
    """
    wanted = [one for one in found.unknown if one.column == "model"]
    if not wanted:
        return
    from callsheet.models import load_catalogue

    known = [model.id for model in load_catalogue(settings.catalogue).models()]
    for one in wanted:
        if not any(one.name.casefold() in model.casefold() for model in known):
            near = list(dict.fromkeys([*one.nearest, *nearest(one.name, known)]))[:3]
            hint = f" Did you mean {' or '.join(near)}?" if near else " `callsheet models` lists them."
            raise SettingsError(f"--model {one.name}: no asset was made with it and no such model is known.{hint}")


def _as_json(asset: dict[str, Any]) -> dict[str, Any]:
    created = asset["created"]
    return {**asset, "created": created.isoformat() if created else None}
