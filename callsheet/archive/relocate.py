"""A batch's records for another archive: pure. What they tell stays the same but for where the files are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from callsheet.archive import layout
from callsheet.archive.marker import ListedSidecar, Success
from callsheet.archive.sidecar import ClipRecord, CutRecord, FileRecord, Sidecar, TakeRecord
from callsheet.archive.store import DAMAGED
from callsheet.archive.verify import Evidence
from callsheet.shots import Batch

Film = TypeVar("Film", ClipRecord, CutRecord)


def moved_sidecar(sidecar: Sidecar, batch: Batch, uri: str) -> Sidecar:
    """The sidecar in the archive at `uri`: the addresses of its files are those there."""
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
    """The marker over sidecars that have these hashes there, by name."""
    listed = tuple(
        ListedSidecar(name=one.name, sha256=hashes[one.name]) for one in marker.sidecars if one.name in hashes
    )
    return marker.model_copy(update={"sidecars": listed})


def files_to_copy(evidence: Evidence) -> list[str]:
    """The names of all that is copied before the records: what finishes cuts, then media, then documents.

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
