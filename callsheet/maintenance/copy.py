"""Copying a batch into another archive, every file verified.

It goes in the order of truth; an interrupted copy goes on. Files that are there already are left, so the same command
ends what was interrupted. The success marker comes last, and not at all while something is missing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from callsheet.archive import layout
from callsheet.archive.catalogue import PARQUET, part_bytes, write_changed
from callsheet.archive.marker import ListedSidecar, Success, mark_continuing, read_success, write_marker
from callsheet.archive.sidecar import ClipRecord, CutRecord, FileRecord, Sidecar, TakeRecord
from callsheet.archive.sidecar_io import MAX_SIDECAR, parse_sidecar, sidecar_bytes
from callsheet.archive.store import DAMAGED, Stat, Store, StoredFile, about_file
from callsheet.archive.verify import ArchiveContents, Unreadable, is_document
from callsheet.concurrency import gather_bounded
from callsheet.errors import ArchiveConflict, ArchiveDenied, ArchiveError, ArchiveKept
from callsheet.files import md5_of_bytes
from callsheet.jobs.store import describe_file
from callsheet.reconcile.inspect import Tell
from callsheet.shots import Asset, Batch

Film = TypeVar("Film", ClipRecord, CutRecord)


def moved_sidecar(sidecar: Sidecar, batch: Batch, uri: str) -> Sidecar:
    """Return the sidecar in the archive at `uri`.

    The addresses of its files are those there.
    """
    folder = f"{uri}/{layout.shot_folder(batch.prefix, sidecar.shot)}"

    def moved(file: FileRecord | None) -> FileRecord | None:
        return file and file.model_copy(update={"uri": f"{folder}/{file.file}"})

    def others(part: TakeRecord | ClipRecord) -> tuple[FileRecord | None, ...]:
        return tuple(moved(file) for file in part.others)

    def pictures(takes: Sequence[TakeRecord]) -> tuple[TakeRecord, ...]:
        return tuple(take.model_copy(update={"file": moved(take.file), "others": others(take)}) for take in takes)

    def films(parts: Sequence[Film]) -> tuple[Film, ...]:
        return tuple(one.model_copy(update={"file": moved(one.file), "poster": moved(one.poster)}) for one in parts)

    def clips(parts: Sequence[ClipRecord]) -> tuple[ClipRecord, ...]:
        return tuple(one.model_copy(update={"others": others(one)}) for one in films(parts))

    return sidecar.model_copy(
        update={
            "takes": pictures(sidecar.takes),
            "clips": clips(sidecar.clips),
            "beginnings": clips(sidecar.beginnings),
            "cuts": films(sidecar.cuts),
            "earlier_takes": pictures(sidecar.earlier_takes),
            "earlier_clips": clips(sidecar.earlier_clips),
            "earlier_cuts": films(sidecar.earlier_cuts),
        }
    )


def moved_rows(rows: Sequence[Mapping[str, Any]], batch: Batch, uri: str) -> list[dict[str, Any]]:
    """Rows of the catalogue in the archive at `uri`."""
    return [{**row, "uri": f"{uri}/{layout.shot_folder(batch.prefix, row['shot'])}/{row['file']}"} for row in rows]


def moved_marker(marker: Success, hashes: Mapping[str, str]) -> Success:
    """Return the marker over sidecars that have these hashes there, by name."""
    listed = tuple(
        ListedSidecar(name=one.name, sha256=hashes[one.name]) for one in marker.sidecars if one.name in hashes
    )
    return marker.model_copy(update={"sidecars": listed})


def files_to_copy(evidence: ArchiveContents) -> list[str]:
    """Return the names of all that is copied before the records.

    What finishes cuts, then media, then documents.

    What a repair kept stays, and so does the claim of a ledger.
    """
    prefix = evidence.batch.prefix
    own = (evidence.marker_name, layout.document(prefix, layout.CLAIM))
    names = [
        name
        for name in evidence.files
        if not layout.is_sidecar(name) and name not in own and not name.startswith(f"{prefix}/{DAMAGED}/")
    ]
    first = (f"{prefix}/{layout.INPUTS}/", f"{prefix}/shots/")
    return sorted(names, key=lambda name: (not name.startswith(first), name))


# Files on their way at the same time: each of them is on this disk once, in no memory.
AT_ONCE = 4
DOCUMENT_LIMIT = 256 << 20
_CONTENT_TYPES = {layout.GALLERY: "text/html; charset=utf-8", layout.PLAN: "application/json"}


@dataclass
class Copied:
    """The account of a copy.

    `files` and `bytes` that were sent, files that were `present`, and what was `left` behind, with why.
    """

    files: int = 0
    bytes: int = 0
    present: int = 0
    complete: bool = False
    left: dict[str, str] = field(default_factory=dict)


@dataclass
class Copy:
    """One copy on its way.

    `hashes` are those of the sidecars there; `begun`: the target's marker, if it had one, says that records are being
    replaced.
    """

    source: Store
    target: Store
    evidence: ArchiveContents
    there: dict[str, Stat]
    scratch: Callable[[], Path]
    tell: Tell
    copied: Copied = field(default_factory=Copied)
    denied: ArchiveDenied | None = None
    hashes: dict[str, str] = field(default_factory=dict)
    begun: bool = False
    beginning: asyncio.Lock = field(default_factory=asyncio.Lock)


async def copy_batch(
    source: Store, target: Store, evidence: ArchiveContents, scratch: Callable[[], Path], tell: Tell
) -> Copied:
    """Copy the batch that `evidence` tells of.

    `scratch` gives new files on this disk, removed when they are sent.

    Raises ArchiveConflict, before anything is written, when the target has a newer or another version of the batch,
    and ArchiveDenied when it cannot be written to. What goes wrong with one file is told in `left`.
    """
    work = Copy(source, target, evidence, await target.stats(f"{evidence.batch.prefix}/"), scratch, tell)
    await _check_target(work)
    await _files(work)
    await _sidecars(work)
    await _parts(work)
    await _marker(work)
    return work.copied


async def _check_target(work: Copy) -> None:
    for name in [name for name in work.there if layout.is_sidecar(name)]:
        data = await work.target.read_bytes(name, MAX_SIDECAR)
        ours = work.evidence.sidecars.get(name)
        if isinstance(ours, Unreadable) or (ours and data == _moved(work, ours)):
            continue
        there = parse_sidecar(data, f"{work.target.uri}/{name}")
        if ours is None or there.updated > ours.updated:
            how = "a newer one" if ours else "one that the source does not have"
            raise ArchiveConflict(
                f"{work.target.uri} has sidecars of {work.evidence.batch.name} already, and {name} is {how}. Nothing "
                "was copied. Copy into another archive, or copy the other way."
            )


async def _files(work: Copy) -> None:
    names, done = files_to_copy(work.evidence), 0
    told = work.evidence.list_all()
    gone = [
        name
        for name in (*told, *work.evidence.thumbnails(), *work.evidence.inputs())
        if name not in work.evidence.files
    ]
    work.copied.left |= dict.fromkeys(gone, "It is not in the source.")

    async def one(name: str) -> None:
        nonlocal done
        if work.denied is None:
            await _file(work, name, told.get(name))
        done += 1
        work.tell("copied", done, len(names))

    await gather_bounded(AT_ONCE, (one(name) for name in names))
    if work.denied is not None:
        raise work.denied


async def _file(work: Copy, name: str, asset: Asset | None) -> None:
    try:
        if asset is None and is_document(work.evidence.batch, name):
            data = await work.source.read_bytes(name, DOCUMENT_LIMIT)
            await _document(work, name, data, _CONTENT_TYPES.get(name.rpartition("/")[2], "text/plain; charset=utf-8"))
            return
        file = describe_file(asset, name) if asset else await _read_file(work, name)
        if await _is_there(work, name, Stat(file.size, file.md5)):
            work.copied.present += 1
            return
        await _send(work, file)
        work.copied.files += 1
        work.copied.bytes += file.size
    except ArchiveDenied as error:
        work.denied = error
    except ArchiveError as error:
        work.copied.left[name] = str(error)


async def _read_file(work: Copy, name: str) -> StoredFile:
    """Return a file of which no record tells: its bytes are read for it."""
    found, batch = await work.source.digests(name), work.evidence.batch
    told = about_file(batch.campaign, batch.name, None, name)
    return StoredFile(name, found.sha256, found.md5, found.size, layout.content_type(name), **told)


async def _send(work: Copy, file: StoredFile) -> None:
    """Have a storage service that has both archives copy the file, else send it."""
    uri = f"{work.source.uri}/{file.name}"
    if uri.startswith("gs://") and await work.target.adopt_file(uri, file):
        return
    part = work.scratch()
    try:
        await work.source.get_file(file.name, part, sha256=file.sha256)
        await work.target.put_file(part, file)
    finally:
        part.unlink(missing_ok=True)


async def _is_there(work: Copy, name: str, wanted: Stat) -> bool:
    """Return whether the target has these bytes, asked as cheaply as it can answer."""
    found = work.there.get(name)
    if found is not None and not found.md5 and found.size == wanted.size:
        found = await work.target.stat(name)
    return found == wanted


async def _document(work: Copy, name: str, data: bytes, content_type: str) -> None:
    if await _is_there(work, name, Stat(len(data), md5_of_bytes(data))):
        work.copied.present += 1
        return
    async with work.beginning:
        if not work.begun:
            await mark_continuing(work.target, work.evidence.batch.prefix)
            work.begun = True
    await work.target.put_bytes(name, data, content_type)
    work.copied.files += 1
    work.copied.bytes += len(data)


def _moved(work: Copy, sidecar: Sidecar) -> bytes:
    return sidecar_bytes(moved_sidecar(sidecar, work.evidence.batch, work.target.uri))


async def _sidecars(work: Copy) -> None:
    async def one(name: str, sidecar: Sidecar | Unreadable) -> None:
        if isinstance(sidecar, Unreadable):
            work.copied.left[name] = sidecar.why
            return
        data = _moved(work, sidecar)
        work.hashes[name] = hashlib.sha256(data).hexdigest()
        await _document(work, name, data, "application/json")

    await gather_bounded(AT_ONCE, (one(name, sidecar) for name, sidecar in work.evidence.sidecars.items()))


async def _parts(work: Copy) -> None:
    batch = work.evidence.batch
    for name, part in work.evidence.parts.items():
        if isinstance(part, Unreadable):
            work.copied.left[name] = part.why
            continue
        rows = moved_rows(part, batch, work.target.uri)
        data = await asyncio.to_thread(part_bytes, rows)
        if (there := await work.target.stat(name)) is not None:
            work.there[name] = there
        try:
            await _document(work, name, data, PARQUET)
        except ArchiveKept:  # another part has the name, and stays
            await write_changed(work.target, batch.name, rows, datetime.now(UTC).date())


async def _marker(work: Copy) -> None:
    marker, prefix = work.evidence.marker, work.evidence.batch.prefix
    if isinstance(marker, Unreadable):
        work.copied.left[work.evidence.marker_name] = marker.why
    if work.copied.left or not isinstance(marker, Success):
        return
    moved = moved_marker(marker, work.hashes)
    work.copied.complete = moved.complete
    if await read_success(work.target, prefix) != moved:
        await write_marker(work.target, prefix, moved)
