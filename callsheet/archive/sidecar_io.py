"""Reading and writing of the sidecars of a batch."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from callsheet.archive import layout
from callsheet.archive.sidecar import SCHEMA_VERSION, ClipRecord, CutRecord, JobRecord, Sidecar, TakeRecord
from callsheet.archive.store import Store, keep_aside, name_kept_file
from callsheet.concurrency import gather_bounded
from callsheet.errors import ArchiveConflict, ArchiveDenied, ArchiveError

Part = TypeVar("Part", TakeRecord, ClipRecord)
# A job in one of these states was sent, or may have been.
_SENT = frozenset({"submitting", "submitted", "finished", "stored", "unknown"})


def with_earlier(new: Sidecar, before: Sidecar, gone: Collection[str] = ()) -> Sidecar:
    """Add to a shot's new sidecar the paid parts that only the one `before` lists.

    Their cuts are added too: they lie beside them. `gone` are names of files that are not there any more.
    """
    clips = (*new.earlier_clips, *before.earlier_clips, *before.beginnings, *before.clips)
    return new.model_copy(
        update={
            "earlier_takes": _keep_earlier(new.takes, (*new.earlier_takes, *before.earlier_takes, *before.takes)),
            "earlier_clips": _keep_earlier((*new.beginnings, *new.clips), clips),
            "earlier_cuts": _keep_earlier_cuts(new.cuts, (*new.earlier_cuts, *before.earlier_cuts, *before.cuts), gone),
        }
    )


def list_paid_parts(sidecar: Sidecar) -> list[TakeRecord | ClipRecord]:
    """Return every take and clip of the shot, those in use first."""
    used: list[TakeRecord | ClipRecord] = [*sidecar.takes, *sidecar.beginnings, *sidecar.clips]
    return [*used, *sidecar.earlier_takes, *sidecar.earlier_clips]


def _keep_earlier(now: Sequence[Part], before: Iterable[Part]) -> tuple[Part, ...]:
    """Return the earlier paid parts that are not in use now, each once, oldest first."""
    in_use = {_identify(part) for part in now}
    known = {part.job_key for part in now}
    kept: dict[tuple[str, str], Part] = {}
    for part in before:
        # Without a file there is only the job to tell of, and the part in use tells of it.
        told = _identify(part) in in_use or (part.file is None and part.job_key in known)
        if not told and _is_paid(part):
            kept[_identify(part)] = part.model_copy(update={"chosen": False})
    with_file = {key for key, file in kept if file}
    return tuple(part for part in kept.values() if part.file or part.job_key not in with_file)


def _keep_earlier_cuts(
    now: Sequence[CutRecord], before: Iterable[CutRecord], gone: Collection[str]
) -> tuple[CutRecord, ...]:
    """Return the earlier cuts whose files are there and are not those of now.

    Each once, oldest first.
    """
    others = {cut.file.file for cut in now if cut.file} | set(gone)
    kept = {cut.file.file: cut for cut in before if cut.file and cut.file.file not in others}
    return tuple(kept.values())


def _identify(part: TakeRecord | ClipRecord) -> tuple[str, str]:
    """Return the values that make two parts the same.

    One job may have given several files, when it was made again.
    """
    return part.job_key, part.file.sha256 if part.file else ""


def _is_paid(part: TakeRecord | ClipRecord) -> bool:
    """Return whether something was paid for it, or may have been."""
    job: JobRecord | None = part.job
    operation = part.operation if isinstance(part, ClipRecord) else None
    sent = job is not None and (job.state in _SENT or job.operation is not None)
    return part.file is not None or part.usd > 0 or operation is not None or sent


log = logging.getLogger(__name__)

# Far above any real sidecar (16 takes and a 100 kB prompt are 150 kB, and each edit may add as much); a bound against
# a file that is something else.
MAX_SIDECAR = 64 * 1024 * 1024
_AT_ONCE = 32
# A sidecar as it is stored, and the sha256 of its bytes.
Stored = tuple[Sidecar, str]
# The same after writing; None instead of the hash when the one that was there is the same and was left.
Written = tuple[Sidecar, str | None]


def sidecar_bytes(sidecar: Sidecar) -> bytes:
    """Encode the sidecar as it is stored.

    Indented JSON in UTF-8 that ends with a newline.
    """
    return sidecar.model_dump_json(indent=2).encode() + b"\n"


async def write_sidecar(
    store: Store, prefix: str, sidecar: Sidecar, *, new: bool = False, gone: Collection[str] = ()
) -> Written:
    """Store a sidecar and return it as it is stored, with the sha256 of its bytes.

    What the stored one had paid for and this one does not list is kept in it. None instead of the hash: a stored one,
    equal but for `updated`, was left. `new`: none is stored, so there is no need to look; should there be one after
    all, it is replaced. `gone` are names of the shot's files that are not there any more.
    """
    name = layout.sidecar_name(prefix, sidecar.shot)
    before = None if new else await _read_replaceable(store, prefix, name)
    if before is not None:
        sidecar = with_earlier(sidecar, before, gone)
        if before.model_copy(update={"updated": sidecar.updated}) == sidecar:
            return sidecar, None
    data = sidecar_bytes(sidecar)
    await store.put_bytes(name, data, "application/json")
    return sidecar, hashlib.sha256(data).hexdigest()


async def read_sidecar(store: Store, name: str) -> Sidecar:
    """Read the sidecar with this name.

    ArchiveError when it is missing or not of a version that is understood.
    """
    return (await read_stored(store, name))[0]


async def read_stored(store: Store, name: str) -> Stored:
    """Read the sidecar, with the sha256 of its bytes.

    ArchiveConflict when a newer callsheet wrote it.
    """
    data = await store.read_bytes(name, MAX_SIDECAR)
    return parse_sidecar(data, f"{store.uri}/{name}"), hashlib.sha256(data).hexdigest()


def parse_sidecar(data: bytes, where: str) -> Sidecar:
    """Parse the sidecar in these bytes.

    ArchiveConflict when a newer callsheet wrote it, ArchiveError when it is none.
    """
    check_version(data, where, SCHEMA_VERSION)
    try:
        return Sidecar.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ArchiveError(
            f"{where} is not a sidecar of version {SCHEMA_VERSION}: {place}: {first['msg']}. "
            "It was left as it is. Restore it, or move it away and run the batch again to have it rebuilt."
        ) from error


class _Version(BaseModel):
    schema_version: int


def check_version(data: bytes, where: str, known: int) -> None:
    """Raise ArchiveConflict when a newer callsheet wrote this document.

    `known` is the newest schema version that this one knows.
    """
    try:
        version = _Version.model_validate_json(data).schema_version
    except ValidationError:
        return  # what is wrong with it is told by the whole schema
    if version > known:
        raise ArchiveConflict(
            f"{where} was written by a newer callsheet (schema version {version}; this one knows {known}). "
            "It was left as it is. Bring callsheet up to date."
        )


async def read_sidecars(store: Store, prefix: str) -> list[Sidecar]:
    """Read all sidecars of the batch at `prefix`, in the manifest's order.

    A warning names those that cannot be read.
    """
    root = f"{prefix}/shots/"
    names = [name for name in await store.list(root) if layout.is_sidecar(name)]
    stored, _ = await read_readable(store, names)
    return in_order([sidecar for sidecar, _ in stored])


async def read_named(store: Store, names: Sequence[str]) -> list[Stored]:
    """Read the sidecars with these names, in the order of the names.

    At most 32 are read at once.
    """
    return await gather_bounded(_AT_ONCE, (read_stored(store, name) for name in names))


async def read_readable(store: Store, names: Sequence[str]) -> tuple[list[Stored], list[str]]:
    """Read those sidecars with these names that can be read; also name the others.

    Both are in the order of the names. ArchiveConflict when a newer callsheet wrote one, ArchiveDenied when one may not
    be read.
    """

    async def read(name: str) -> Stored | None:
        try:
            return await read_stored(store, name)
        except (ArchiveConflict, ArchiveDenied):
            raise
        except ArchiveError as error:
            log.warning("The sidecar %s cannot be read: %s", name, error)
            return None

    found = await gather_bounded(_AT_ONCE, (read(name) for name in names))
    broken = [name for name, one in zip(names, found, strict=True) if one is None]
    return [one for one in found if one is not None], broken


async def sidecar_files(store: Store, prefix: str) -> dict[str, str]:
    """Return the batch's sidecars that are stored under a number.

    Their file names, by the folders of their shots.
    """
    names = (await store.list_numbered(f"{prefix}/")).items()
    return {name.split("/")[-2]: real.rpartition("/")[2] for name, real in names if layout.is_sidecar(name)}


def in_order(sidecars: Sequence[Sidecar]) -> list[Sidecar]:
    """Sort the sidecars by the manifest's lines.

    By id where one line made several shots.
    """
    return sorted(sidecars, key=lambda sidecar: (sidecar.line, sidecar.shot))


async def _read_replaceable(store: Store, prefix: str, name: str) -> Sidecar | None:
    """Read the stored sidecar; None when there is none that can be read.

    What is there instead is kept aside.
    """
    if await store.stat(name) is None:
        return None
    try:
        return await read_sidecar(store, name)
    except (ArchiveConflict, ArchiveDenied):
        raise
    except ArchiveError as error:
        kept = await keep_aside(store, prefix, name, MAX_SIDECAR)
        log.warning(
            "The sidecar %s is replaced and kept as %s: %s", name, name_kept_file(prefix, kept.md5, name), error
        )
        return None
