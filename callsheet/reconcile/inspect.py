"""Inspecting an archive.

What it holds of each batch, read so that `archive.verify` can tell what is wrong. By default only listings and records
are read; `deep` also reads every byte of every file. Changes nothing.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rapidfuzz import process

from callsheet.archive import layout
from callsheet.archive.marker import Success, read_success
from callsheet.archive.parts import MAX_PART, read_parts
from callsheet.archive.sidecar import Sidecar
from callsheet.archive.sidecar_io import read_stored
from callsheet.archive.spots import MAX_RECORDS, SpotRecord, read_spot
from callsheet.archive.store import Stat, Store
from callsheet.archive.verify import ArchiveContents, Unreadable
from callsheet.concurrency import gather_bounded
from callsheet.errors import ArchiveConflict, ArchiveDenied, ArchiveError, SettingsError
from callsheet.files import Digests
from callsheet.reconcile.sidecar_check import check
from callsheet.shots import Batch

READS_AT_ONCE = 32
DEEP_AT_ONCE = 4
# What is being done, how much of it is done, and of how much.
Tell = Callable[[str, int, int], None]


def tell_nobody(_what: str, _done: int, _of: int) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True, slots=True)
class ByteReading:
    """A reading of a batch's bytes: of all files, or of `only` these.

    `tell` hears how far it is.
    """

    only: frozenset[str] | None = None
    tell: Tell = tell_nobody


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an archive holds of one batch.

    The files in its folder, and the names of its catalogue parts.
    """

    batch: Batch
    files: Mapping[str, Stat]
    parts: tuple[str, ...]


async def holdings(store: Store, names: Sequence[str] = ()) -> list[Holdings]:
    """Return what the archive holds of these batches, or of every batch in it.

    SettingsError for one that it does not have.
    """
    if not names:
        return list(sorted_by_batch(await store.stats("")).values())
    parts = parts_by_batch(await store.list(f"{layout.CATALOGUE}/"))
    return [await _one(store, name, tuple(parts.get(name, ()))) for name in dict.fromkeys(names)]


def sorted_by_batch(files: Mapping[str, Stat]) -> dict[str, Holdings]:
    """Return the files of an archive by batch, in the order of their names."""
    folders: dict[str, dict[str, Stat]] = defaultdict(dict)
    for name, stat in files.items():
        campaign, _, rest = name.partition("/")
        batch = Batch.parse(rest.partition("/")[0]) if "/" in rest else None
        if batch is not None and batch.campaign == campaign:
            folders[batch.name][name] = stat
    parts = parts_by_batch(files)
    named = {name: batch for name in sorted({*folders, *parts}) if (batch := Batch.parse(name))}
    return {name: Holdings(batch, folders[name], tuple(parts.get(name, ()))) for name, batch in named.items()}


def parts_by_batch(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the catalogue parts among these names, by batch, oldest first."""
    parts: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name in names:
        if part := layout.part_of(name):
            _, batch, number = part
            parts[batch].append((number, name))
    return {batch: [name for _, name in sorted(numbered)] for batch, numbered in parts.items()}


async def _one(store: Store, name: str, parts: tuple[str, ...]) -> Holdings:
    batch = Batch.parse(name)
    files = await store.stats(f"{batch.prefix}/") if batch else {}
    if batch is None or not (files or parts):
        known = list(sorted_by_batch(await store.stats("")))
        near = [one for one, score, _ in process.extract(name, known, limit=3) if score > 60]
        told = f"Did you mean {' or '.join(near)}?" if near else f"It has: {', '.join(known[:20]) or 'none'}."
        raise SettingsError(f"{store.uri} has no batch {name!r}. Nothing was changed. {told}")
    return Holdings(batch, files, parts)


async def inspect(
    store: Store,
    held: Holdings,
    *,
    known: frozenset[str] = frozenset(),
    reading: ByteReading | None = None,
) -> ArchiveContents:
    """Read the records of a batch, and with a `reading` the bytes of its files.

    `known` are names that a ledger has on record. Raises ArchiveError
    when the archive cannot be read at all.
    """
    names = [name for name in held.files if layout.is_sidecar(name)]
    read = await gather_bounded(READS_AT_ONCE, (_sidecar(store, name) for name in names))
    evidence = ArchiveContents(
        batch=held.batch,
        files=held.files,
        sidecars={name: sidecar for name, sidecar, _ in read if sidecar},
        hashes={name: digest for name, _, digest in read if digest},
        parts={name: await _part(store, name, held.batch) for name in held.parts},
        marker=await _marker(store, held.batch),
        known=known,
        spots=await _spots(store, held),
    )
    evidence = replace(evidence, files={**held.files, **await _find_stored_meanwhile(store, evidence)})
    if reading is not None:
        evidence = replace(evidence, digests=await _read_all(store, evidence, reading.only, reading.tell))
    return evidence


async def _spots(store: Store, held: Holdings) -> dict[str, SpotRecord]:
    """Return the records of spots that can be believed, by name."""
    prefix = held.batch.prefix
    names = [name for name in held.files if name.endswith(".json") and layout.is_spot(prefix, name)][:MAX_RECORDS]
    read = {name: await read_spot(store, prefix, name, held.files[name]) for name in names}
    return {name: record for name, record in read.items() if record}


async def _sidecar(store: Store, name: str) -> tuple[str, Sidecar | Unreadable | None, str | None]:
    try:
        sidecar, digest = await read_stored(store, name)
        check(name, sidecar)
    except ArchiveDenied:
        raise
    except ArchiveError as error:
        if await store.stat(name) is None:
            return name, None, None
        return name, Unreadable(str(error), newer=isinstance(error, ArchiveConflict)), None
    return name, sidecar, digest


async def _part(store: Store, name: str, batch: Batch) -> list[dict[str, Any]] | Unreadable:
    frame, unreadable = read_parts({name: io.BytesIO(await store.read_bytes(name, MAX_PART))})
    if unreadable:
        return Unreadable(f"It cannot be read: {unreadable[name]}.")
    rows = frame.rows(named=True)
    strange = [
        row for row in rows if row["batch"] != batch.name or not layout.is_file_name(row["file"]) or not row["shot"]
    ]
    if strange:
        return Unreadable(f"{len(strange)} of its rows are not of this batch's files. It was not believed.")
    return rows


async def _marker(store: Store, batch: Batch) -> Success | Unreadable | None:
    try:
        return await read_success(store, batch.prefix)
    except ArchiveDenied:
        raise
    except ArchiveError as error:
        return Unreadable(str(error), newer=isinstance(error, ArchiveConflict))


async def _find_stored_meanwhile(store: Store, evidence: ArchiveContents) -> dict[str, Stat]:
    """Files that records tell of and the earlier listing did not have.

    A run may have stored them in between.
    """

    async def look(name: str) -> tuple[str, Stat | None]:
        return name, await store.stat(name)

    absent = [name for name in _list_files(evidence) if name not in evidence.files]
    return {name: stat for name, stat in await gather_bounded(READS_AT_ONCE, map(look, absent)) if stat}


def _list_files(evidence: ArchiveContents) -> list[str]:
    return [*evidence.list_all(), *evidence.thumbnails(), *evidence.inputs()]


async def _read_all(
    store: Store, evidence: ArchiveContents, only: frozenset[str] | None, tell: Tell
) -> dict[str, Digests]:
    done = 0
    names = [name for name in _list_files(evidence) if name in evidence.files]
    names = [name for name in names if only is None or name in only]

    async def read(name: str) -> tuple[str, Digests | None]:
        nonlocal done
        try:
            digests = await store.digests(name)
        except ArchiveDenied:
            raise
        except ArchiveError:
            if await store.stat(name) is not None:
                raise
            digests = None
        done += 1
        tell("read", done, len(names))
        return name, digests

    return {name: digests for name, digests in await gather_bounded(DEEP_AT_ONCE, map(read, names)) if digests}
