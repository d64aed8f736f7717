"""`callsheet find`: search the catalogue of an archive, of all its batches at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from callsheet.archive import search as catalogue
from callsheet.archive.open import open_archive
from callsheet.archive.search import Found
from callsheet.archive.search_query import KINDS, Query, conditions
from callsheet.archive.store import Store
from callsheet.errors import SettingsError
from callsheet.settings import Settings, load_settings
from callsheet.shots import Mode
from cli.found import Listing, advice, summary
from cli.options import ArchiveOption, JsonOption
from cli.output import err, out, print_json, say
from cli.query import costs, names, nearest, one_of, period

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
    """Find assets in the catalogue of an archive: pictures, clips and cuts of all its batches."""
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
        assets = [_as_json(asset) for asset in found.assets.head(limit or found.assets.height).rows(named=True)]
        print_json(
            {
                "exit_code": 0,
                "archive": place,
                "total": found.assets.height,
                "usd": found.usd(),
                "shown": len(assets),
                "assets": assets,
                "gallery": str(gallery.absolute()) if gallery else None,
                "advice": list(advice(found)) if found.assets.is_empty() else [],
                "warnings": list(found.warnings),
                "elapsed_s": round(time.monotonic() - started, 3),
            }
        )


async def _find(settings: Settings, query: Query, cards: int) -> tuple[Found, dict[str, str], str]:
    """What was found, the stills for a page of so many cards, and the address of the archive."""
    store = open_archive(settings)
    try:
        with err.status(f"Searching {store.uri} ...") if err.is_terminal else nullcontext():
            found = await catalogue.find(store, query, cache=settings.parts_cache)
            _refuse_unknown_models(found, settings)
            return found, await _stills(store, found, cards), store.uri
    finally:
        await store.aclose()


async def _stills(store: Store, found: Found, cards: int) -> dict[str, str]:
    """Small pictures of what is in a bucket, which a page cannot load by itself."""
    if not cards or "://" not in store.uri:
        return {}
    from callsheet.report.stills import stills

    return await stills(store, found.assets.head(cards).rows(named=True))


def _write_page(page: Path, place: str, query: Query, found: Found, cards: int, stills: Mapping[str, str]) -> None:
    from callsheet.report.finds import Search, finds_html

    asked = (*query.words, *(one.told for one in conditions(query) if one.on != "text"))
    search = Search(asked, place, datetime.now(UTC), found.assets.height, found.usd())
    html = finds_html(search, found.assets.head(cards).rows(named=True), page.absolute(), stills)
    try:
        page.write_text(html, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--gallery {page}: it cannot be written: {error.strerror}. Name another file.") from error


def _show(found: Found, rows: int, page: Path | None) -> None:
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


def _refuse_unknown_models(found: Found, settings: Settings) -> None:
    """A model that no asset has and that nobody knows is a slip of the pen; one that is known was not used."""
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
