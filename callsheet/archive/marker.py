"""The success marker, written last: says that a batch is complete, or how far.

A reader of the bucket waits for it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from callsheet.archive import layout
from callsheet.archive.sidecar import Sidecar
from callsheet.archive.sidecar_io import MAX_SIDECAR, check_version
from callsheet.archive.store import Store
from callsheet.concurrency import gather_bounded
from callsheet.errors import ArchiveError

# 2: `ledger` (2026-11-30). Older markers are read with their defaults.
SCHEMA_VERSION = 2
MAX_MARKER = 16 * 1024 * 1024
_AT_ONCE = 32


class _MarkerPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ListedSidecar(_MarkerPart):
    """A sidecar as it was when the batch ended.

    Its name in the archive and the hash of its bytes.
    """

    name: str
    sha256: str


class Success(_MarkerPart):
    """The content of `_SUCCESS.json`; `complete` only when every shot is done.

    `status` "continuing" means that new work was begun after the batch had ended: its files may be incomplete. A repair
    found files of the `damaged` shots lost; they are unfinished until those are back. `ledger` is the identity of the
    ledger that the batch was worked on with.
    """

    schema_version: int = SCHEMA_VERSION
    campaign: str
    batch: str
    mode: Literal["rehearsal", "live"]
    status: Literal["finished", "continuing"]
    complete: bool
    shots: dict[str, int]
    unfinished: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    sidecars: tuple[ListedSidecar, ...] = ()
    catalogue: str | None = None
    finished: datetime
    ledger: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEnd:
    """How a batch ended, beside its sidecars."""

    #: The newest part of the catalogue; None without one.
    catalogue: str | None
    #: When the run that ends it ended.
    finished: datetime
    #: The sha256 of stored sidecars by shot, as far as they are known; the others are read.
    hashes: Mapping[str, str] = field(default_factory=dict)
    #: The ids of pending shots that have no sidecar yet.
    absent: Sequence[str] = ()
    #: The ids of shots of which files are lost.
    damaged: Sequence[str] = ()
    #: The identity of the ledger that it was made with.
    ledger: str | None = None


async def write_success(store: Store, prefix: str, sidecars: Sequence[Sidecar], end: BatchEnd) -> Success:
    """Write the marker over the sidecars as they are stored now; call it last.

    `sidecars` must not be empty.
    """
    known = end.hashes

    async def list_one(sidecar: Sidecar) -> ListedSidecar:
        name = layout.sidecar_name(prefix, sidecar.shot)
        if sidecar.shot in known:
            return ListedSidecar(name=name, sha256=known[sidecar.shot])
        data = await store.read_bytes(name, MAX_SIDECAR)
        return ListedSidecar(name=name, sha256=hashlib.sha256(data).hexdigest())

    files = await gather_bounded(_AT_ONCE, (list_one(sidecar) for sidecar in sidecars))
    marker = _build_marker(sidecars, files, end)
    marker = marker.model_copy(update={"damaged": tuple(end.damaged), "ledger": end.ledger})
    await write_marker(store, prefix, marker)
    return marker


async def mark_continuing(store: Store, prefix: str) -> None:
    """State in the marker, if there is one, that new work has begun.

    Call it before the first new file is stored.
    """
    marker = await read_success(store, prefix)
    if marker is not None and marker.status != "continuing":
        await write_marker(store, prefix, marker.model_copy(update={"status": "continuing", "complete": False}))


async def read_success(store: Store, prefix: str) -> Success | None:
    """Read the batch's marker, None when there is none yet.

    ArchiveConflict when a newer callsheet wrote it.
    """
    name = layout.document(prefix, layout.SUCCESS)
    if await store.stat(name) is None:
        return None
    data = await store.read_bytes(name, MAX_MARKER)
    check_version(data, f"{store.uri}/{name}", SCHEMA_VERSION)
    try:
        return Success.model_validate_json(data)
    except ValidationError as error:
        raise ArchiveError(
            f"{store.uri}/{name} is not a success marker that this version understands. It was left as it is. "
            "Move it away and run the batch again to have it written anew."
        ) from error


def _build_marker(sidecars: Sequence[Sidecar], files: Sequence[ListedSidecar], end: BatchEnd) -> Success:
    first = sidecars[0]
    unfinished = (*(sidecar.shot for sidecar in sidecars if sidecar.state != "done"), *end.absent)
    states = Counter([*(sidecar.state for sidecar in sidecars), *("pending" for _ in end.absent)])
    return Success(
        campaign=first.campaign,
        batch=first.batch,
        mode=first.mode,
        status="finished",
        complete=not unfinished,
        shots={"total": len(sidecars) + len(end.absent), **states},
        unfinished=unfinished,
        sidecars=tuple(files),
        catalogue=end.catalogue,
        finished=end.finished,
    )


async def write_marker(store: Store, prefix: str, marker: Success) -> None:
    """Store a marker as it is given; call it last."""
    data = marker.model_dump_json(indent=2).encode() + b"\n"
    await store.put_bytes(layout.document(prefix, layout.SUCCESS), data, "application/json")
