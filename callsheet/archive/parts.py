"""The catalogue's parts as files: which there are, in which order, and what of them can be read."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import cast

import polars as pl

from callsheet.archive import layout
from callsheet.archive.store import Stat, Store

# The same columns in every part, whatever its rows hold. Sizes in bytes and pixels, durations in seconds, US dollars;
# `prompt` is what was sent for the file or for the clip it was cut from, `frame_prompt` that of the frame of a clip,
# `parameters` is JSON, `parent` the sha256 of the file it was made from, `thumbnail` the file name of a small picture.
SCHEMA: dict[str, pl.DataType] = {
    "campaign": pl.String(),
    "batch": pl.String(),
    "edition": pl.String(),
    "mode": pl.String(),
    "shot": pl.String(),
    "line": pl.Int64(),
    "kind": pl.String(),
    "take": pl.Int64(),
    "spec": pl.String(),
    "chosen": pl.Boolean(),
    "prompt": pl.String(),
    "frame_prompt": pl.String(),
    "model": pl.String(),
    "parameters": pl.String(),
    "job_key": pl.String(),
    "operation": pl.String(),
    "usd": pl.Float64(),
    "file": pl.String(),
    "uri": pl.String(),
    "sha256": pl.String(),
    "md5": pl.String(),
    "parent": pl.String(),
    "size": pl.Int64(),
    "mime_type": pl.String(),
    "width": pl.Int64(),
    "height": pl.Int64(),
    "duration_s": pl.Float64(),
    "thumbnail": pl.String(),
    "created": pl.Datetime("us", "UTC"),
    "tags": pl.List(pl.String()),
}
# Where a part's bytes are: on this disk, or in memory.
Source = Path | io.BytesIO
# What makes a row the same row in two parts: file names carry the hash. No row of callsheet's own lacks one of these.
IDENTITY = ("batch", "shot", "file")
# What a damaged file may end in: the reader's errors, the disk's, and a panic of the reader, which is no Exception.
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """A part by its name; parts sort from old to new."""

    day: date
    batch: str
    number: int
    name: str
    stat: Stat = field(compare=False)


async def list_parts(store: Store) -> tuple[list[Part], list[str]]:
    """The archive's parts from old to new, and the names of other files among them."""
    parts: list[Part] = []
    others: list[str] = []
    for name, stat in (await store.stats(f"{layout.CATALOGUE}/")).items():
        if told := layout.part_of(name):
            parts.append(Part(*told, name, stat))
        else:
            others.append(name)
    return sorted(parts), others


def read_parts(
    files: Mapping[str, Source], where: pl.Expr | None = None, columns: Sequence[str] = tuple(SCHEMA)
) -> tuple[pl.DataFrame, dict[str, str]]:
    """The rows of the parts (by name) in their order, and why some could not be read.

    Columns that an older part does not have are empty, those that a newer one has beside these are left out.
    """
    try:
        return _rows(list(files.values()), where, columns), {}
    except _UNREADABLE as error:
        if len(files) == 1:
            return _rows([], where, columns), dict.fromkeys(files, _reason(error))
    # Halves, so that one bad file among thousands is found in a dozen looks.
    items, middle = list(files.items()), len(files) // 2
    halves = [read_parts(dict(half), where, columns) for half in (items[:middle], items[middle:])]
    return pl.concat([rows for rows, _ in halves]), halves[0][1] | halves[1][1]


def latest(rows: pl.DataFrame) -> pl.DataFrame:
    """Every asset once, as the last part that lists it tells it."""
    return rows.filter(pl.struct(IDENTITY).is_last_distinct())


def _rows(sources: list[Source], where: pl.Expr | None, columns: Sequence[str]) -> pl.DataFrame:
    if not sources:
        return pl.DataFrame(schema={column: SCHEMA[column] for column in columns})
    # Rows without an identity come from a file of another kind: they pass every filter, to be seen.
    foreign = pl.any_horizontal(pl.col(column).is_null() for column in IDENTITY)
    rows = pl.scan_parquet(
        cast("list[Path]", sources),
        schema=SCHEMA,
        missing_columns="insert",
        extra_columns="ignore",
        hive_partitioning=False,
        glob=False,
    )
    rows = rows if where is None else rows.filter(foreign | where)
    found = rows.select(*dict.fromkeys([*columns, *IDENTITY])).collect()
    if found.select(foreign.any()).item():
        raise pl.exceptions.SchemaError("its rows are not those of a catalogue")
    return found.select(columns)


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
