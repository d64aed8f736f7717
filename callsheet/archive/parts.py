"""The catalogue's parts as files: their order, and what of them can be read."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import cast

import polars as pl

from callsheet import files as durable
from callsheet.archive import layout
from callsheet.archive.store import Stat, Store
from callsheet.concurrency import gather_bounded
from callsheet.errors import ArchiveError

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
    """List the archive's parts from old to new, and other files among them."""
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
    """Read the rows of the parts (by name) in their order.

    Also returns why some parts could not be read. Columns that an older part does not have are empty, those that a
    newer one has beside these are left out.
    """
    try:
        return _scan_rows(list(files.values()), where, columns), {}
    except _UNREADABLE as error:
        if len(files) == 1:
            return _scan_rows([], where, columns), dict.fromkeys(files, _describe(error))
    # Halves, so that one bad file among thousands is found in a dozen looks.
    items, middle = list(files.items()), len(files) // 2
    halves = [read_parts(dict(half), where, columns) for half in (items[:middle], items[middle:])]
    return pl.concat([rows for rows, _ in halves]), halves[0][1] | halves[1][1]


def latest(rows: pl.DataFrame) -> pl.DataFrame:
    """Return every asset once, as the last part that lists it has it."""
    return rows.filter(pl.struct(IDENTITY).is_last_distinct())


def _scan_rows(sources: list[Source], where: pl.Expr | None, columns: Sequence[str]) -> pl.DataFrame:
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


def _describe(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


MIB = 1024 * 1024
MAX_PART = 512 * MIB
# The copies of all buckets together; those used longest ago make room.
MAX_CACHE = 512 * MIB
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class PartFiles:
    """Local files of parts by name, in the parts' order.

    `failed` has the reasons why others could not be fetched.
    """

    files: dict[str, Path]
    failed: dict[str, ArchiveError]


@contextlib.asynccontextmanager
async def part_files(store: Store, parts: Sequence[Part], cache: Path | None) -> AsyncIterator[PartFiles]:
    """Keep the parts on this disk while the block runs.

    A bucket's parts are copied to the folder `cache`, or to a temporary one, and fetched again only when size or md5
    are not those of the copy. ArchiveError when the folder cannot be written to.
    """
    if "://" not in store.uri:
        yield PartFiles({part.name: Path(store.uri, part.name) for part in parts}, {})
        return
    async with contextlib.AsyncExitStack() as stack:
        folder = cache or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="callsheet-")))
        yield await _copy_all(store, parts, folder)
        if cache:
            await asyncio.to_thread(_shrink, cache, MAX_CACHE)


async def _copy_all(store: Store, parts: Sequence[Part], folder: Path) -> PartFiles:
    async def copy(part: Part) -> Path | ArchiveError:
        try:
            return await _copy(store, part, folder)
        except OSError as error:
            raise ArchiveError(
                f"{folder} cannot be written to ({error.strerror}), and copies of the catalogue's parts are kept "
                "there. Set CALLSHEET_HOME to a folder on a disk with room."
            ) from error
        except ArchiveError as error:
            return error

    tried = dict(zip((part.name for part in parts), await gather_bounded(_AT_ONCE, map(copy, parts)), strict=True))
    return PartFiles(
        {name: path for name, path in tried.items() if isinstance(path, Path)},
        {name: error for name, error in tried.items() if isinstance(error, ArchiveError)},
    )


async def _copy(store: Store, part: Part, folder: Path) -> Path:
    # A bucket may not know the md5 of an object that others composed; such a copy serves once.
    told = f"{store.uri}/{part.name}:{part.stat.size}:{part.stat.md5}"
    path = folder / f"{hashlib.sha256(told.encode()).hexdigest()[:40]}.parquet"
    if not await asyncio.to_thread(_is_copy, path, part):
        data = await store.read_bytes(part.name, MAX_PART)
        await asyncio.to_thread(_keep, data, path)
    return path


def _is_copy(path: Path, part: Part) -> bool:
    """Return whether the file is what the bucket has; it then counts as just used."""
    with contextlib.suppress(OSError):
        if part.stat.md5 and durable.md5_of_file(path) == part.stat.md5:
            path.touch()
            return True
    return False


def _keep(data: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = durable.unfinished_beside(path)
    with durable.discarded_on_failure(part):
        part.write_bytes(data)
        part.replace(path)


def _shrink(folder: Path, limit: int) -> None:
    """Remove the files used longest ago until the rest is within `limit` bytes.

    Another process may do the same.
    """
    copies = []
    for path in folder.glob("*.parquet"):
        with contextlib.suppress(FileNotFoundError):
            copies.append((path.stat().st_mtime, path.stat().st_size, path))
    size = sum(size for _, size, _ in copies)
    for _, freed, path in sorted(copies):
        if size <= limit:
            return
        path.unlink(missing_ok=True)
        size -= freed
