"""Search of the catalogue: the assets that fit, or the condition in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce
from operator import and_
from pathlib import Path

import polars as pl
from rapidfuzz import process

from callsheet.archive import layout
from callsheet.archive.parts import Part, PartFiles, latest, list_parts, part_files, read_parts
from callsheet.archive.search_query import TEXT, Query, conditions, fold, has_name, with_text
from callsheet.archive.store import Store
from callsheet.errors import SettingsError

# Newest first; what was made at one time in the manifest's order.
_ORDER = ("created", "batch", "line", "shot", "kind", "take", "file")
# The day of a part is that of its writing, so what it lists is not younger; clocks of machines may differ by this much.
# In an address it leads out of the folder it names.
_UPWARDS = r"(^|/)\.\.(/|$)"
_CLOCKS_DIFFER = timedelta(days=1)
_NEAR = 60


@dataclass(frozen=True, slots=True)
class UnknownName:
    """A name that no asset has: its column, and names that come near."""

    column: str
    name: str
    nearest: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The assets that fit, newest first, each once, with all columns.

    `uri` is their place in the archive searched. `warnings` name the files among the parts that could not be read,
    `missed` the names that none of the assets has. When nothing fits, `without` says how many assets would if one
    condition were left out.
    """

    assets: pl.DataFrame
    warnings: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    unknown: tuple[UnknownName, ...] = ()
    without: tuple[tuple[str, int], ...] = ()

    def usd(self) -> dict[str, float]:
        """Sum the assets' cost in USD: of live ones, and of what rehearsals would cost."""
        by_mode = dict(self.assets.group_by("mode").agg(pl.col("usd").sum()).iter_rows())
        live, rehearsal = (round(by_mode.get(mode, 0.0), 6) for mode in ("live", "rehearsal"))
        return {"total": round(live + rehearsal, 6), "live": live, "rehearsal": rehearsal}


async def find(store: Store, query: Query, *, cache: Path | None = None) -> SearchResult:
    """Search the archive's catalogue; SettingsError when it has none.

    Writes nothing but copies of parts to `cache`. A file among the parts that is none, or cannot be read, is named in
    the warnings, and the others are searched.
    """
    parts, others = await list_parts(store)
    if not parts:
        raise SettingsError(_describe_no_catalogue(store, others))
    async with part_files(store, _prune(parts, query), cache) as local:
        assets, unreadable = await asyncio.to_thread(search, local.files, query)
        warnings = _build_warnings(local, others, unreadable)
    if not assets.is_empty():
        return SearchResult(_relocate(assets, store.uri), warnings, missed=_find_missed(assets, query))
    async with part_files(store, parts, cache) as local:
        unknown, without = await asyncio.to_thread(in_the_way, local.files, query)
    return SearchResult(assets, warnings, unknown=unknown, without=without)


def search(files: Mapping[str, Path], query: Query) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return the assets of these parts that fit, newest first.

    And why some parts could not be read.
    """
    asked = conditions(query)
    facts, changing, text = ([one.fits for one in asked if one.on == on] for on in ("fact", "latest", "text"))
    rows, unreadable = read_parts(files, pl.all_horizontal(facts) if facts else None)
    # Anybody may have written a part: a row leads to a file of its shot's folder, and nowhere else.
    rows = latest(rows.filter(*map(_is_a_name, ("campaign", "batch", "file", "thumbnail")))).filter(*changing)
    if text:
        rows = with_text(rows).filter(*text).drop(TEXT)
    newest = [column == "created" for column in _ORDER]
    return rows.sort(_ORDER, descending=newest, nulls_last=True, maintain_order=True), unreadable


def _is_a_name(column: str) -> pl.Expr:
    name = pl.col(column)
    return (~name.str.contains(layout.OUTSIDE) & ~name.is_in(["", ".", ".."])).fill_null(value=True)


def in_the_way(files: Mapping[str, Path], query: Query) -> tuple[tuple[UnknownName, ...], tuple[tuple[str, int], ...]]:
    """Find out why nothing fits.

    Returns the names that no asset has, and how many assets would fit without each of the conditions.
    """
    rows, asked = with_text(latest(read_parts(files)[0])), conditions(query)
    fits = [rows.select(one.fits.fill_null(value=False)).to_series() for one in asked]
    without = []
    for left_out, one in enumerate(asked):
        others = [series for number, series in enumerate(fits) if number != left_out]
        count = int(reduce(and_, others).sum()) if others else rows.height
        without.append((one.told, count))
    return tuple(_find_unknown(rows, query)), tuple((told, count) for told, count in without if count)


def _find_unknown(rows: pl.DataFrame, query: Query) -> Iterator[UnknownName]:
    for column, names in {**query.names(), "tags": query.tags}.items():
        for name in names:
            if not rows.select(has_name(column, name).any()).item():
                values = rows[column].explode() if column == "tags" else rows[column]
                known = {value: fold(value) for value in values.drop_nulls().unique().to_list()}
                near = process.extract(fold(name), known, limit=3, score_cutoff=_NEAR)
                yield UnknownName(column, name, tuple(value for *_, value in near))


def _find_missed(assets: pl.DataFrame, query: Query) -> tuple[str, ...]:
    """Return the names, of several given for one column, that none of the assets has."""
    several = [(column, name) for column, names in query.names().items() if len(names) > 1 for name in names]
    return tuple(
        f"--{column} {name}" for column, name in several if not assets.select(has_name(column, name).any()).item()
    )


def _prune(parts: Sequence[Part], query: Query) -> list[Part]:
    """Return the parts that may list what the query looks for.

    What they list was made before they were written.
    """
    oldest = (query.since - _CLOCKS_DIFFER).date() if query.since else date.min
    return [part for part in parts if part.day >= oldest]


def _build_warnings(local: PartFiles, others: Sequence[str], unreadable: Mapping[str, str]) -> tuple[str, ...]:
    if local.failed and not local.files:
        raise next(iter(local.failed.values()))
    foreign = dict.fromkeys(others, "it is not named like one")
    failed = {name: str(error) for name, error in local.failed.items()}
    told = {**foreign, **failed, **unreadable}
    return tuple(f"{name} is left out: {why}" for name, why in sorted(told.items()))


def _relocate(assets: pl.DataFrame, root: str) -> pl.DataFrame:
    """Return the assets with `uri` where they lie in this archive.

    It may have been moved or copied since.
    """
    below = pl.col("uri").str.starts_with(f"{root}/") & ~pl.col("uri").str.contains(_UPWARDS)
    here = below.fill_null(value=False)
    if assets.select(here.all()).item():
        return assets
    # The shot's folder is in the old address, which saves making each name again.
    folders = assets["uri"].str.extract(r"/shots/([^/]+)/[^/]+$")
    odd = folders.is_null().arg_true()
    folders = folders.scatter(odd, [layout.folder_name(shot) for shot in assets["shot"].gather(odd).to_list()])
    parts = (pl.lit(root), "campaign", "batch", pl.lit("shots"), folders, "file")
    place = pl.concat_str(*parts, separator="/", ignore_nulls=True)
    return assets.with_columns(uri=pl.when(here).then("uri").otherwise(place))


def _describe_no_catalogue(store: Store, others: Sequence[str]) -> str:
    if others:
        return f"{store.uri} has no catalogue that can be searched: {others[0]} is not named like a part of one."
    what = "has no catalogue yet: a run writes it when its batch ends"
    if "://" not in store.uri and not Path(store.uri).is_dir():
        what = "is not there yet: the first `callsheet run` makes it"
    return f"The archive {store.uri} {what}. --archive or CALLSHEET_ARCHIVE names another one."
