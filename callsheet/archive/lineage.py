"""The files that a batch's records list, as assets.

Pure, from sidecars and from rows of the catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from callsheet.archive.sidecar import ClipRecord, CutMaking, CutRecord, FileRecord, Sidecar, TakeRecord
from callsheet.shots import Asset, AssetKind

Part = TakeRecord | ClipRecord
# Files that are made here for nothing, from others.
DERIVED: frozenset[str] = frozenset({"cut", "poster", "thumbnail"})


def list_doubtful(sidecar: Sidecar) -> list[str]:
    """Return the keys of the jobs in use of whose cost a part may be in doubt.

    What came with the first attempt is certain.
    """
    parts: tuple[Part, ...] = (*sidecar.takes, *sidecar.beginnings, *sidecar.clips)
    return [part.job_key for part in parts if part.usd and (part.attempts > 1 or part.file is None)]


def with_doubts(sidecar: Sidecar, doubts: Mapping[str, Decimal]) -> Sidecar:
    """Return the sidecar with what of its jobs' costs is in doubt.

    In USD: what only the bill can settle.
    """

    def tell(part: Part) -> Part:
        if part.job is None:
            return part
        doubt = {"usd_in_doubt": float(doubts.get(part.job_key, 0))}
        return part.model_copy(update={"job": part.job.model_copy(update=doubt)})

    parts = ("takes", "clips", "beginnings")
    return sidecar.model_copy(update={name: tuple(map(tell, getattr(sidecar, name))) for name in parts})


@dataclass(frozen=True, slots=True)
class Listed:
    """A file that a sidecar lists, and the paid part or the cut that it comes from.

    `earlier`: the shot does not use it any more.
    """

    kind: AssetKind
    file: FileRecord
    part: Part | None = None
    cut: CutRecord | None = None
    earlier: bool = False

    @property
    def can_be_gone(self) -> bool:
        """Whether nothing is lost when the file is not there.

        It cost nothing, and the shot has another one.
        """
        return self.earlier and self.kind in DERIVED


def list_files(sidecar: Sidecar) -> Iterator[Listed]:
    """Yield every file of the sidecar but the thumbnails, those in use first.

    Of thumbnails it has only the names.
    """
    used = _list_parts(sidecar.takes, (*sidecar.clips, *sidecar.beginnings), sidecar.cuts)
    earlier = _list_parts(sidecar.earlier_takes, sidecar.earlier_clips, sidecar.earlier_cuts)
    in_use = {one.file.file: one for one in used}
    yield from in_use.values()
    yield from (replace(one, earlier=True) for one in earlier if one.file.file not in in_use)


def _list_parts(
    takes: Sequence[TakeRecord], clips: Sequence[ClipRecord], cuts: Sequence[CutRecord]
) -> Iterator[Listed]:
    parts: tuple[Part, ...] = (*takes, *clips)
    for part in parts:
        yield from (Listed("extra", other) for other in part.others)
    for take in takes:
        if take.file:
            yield Listed("take", take.file, take)
    for clip in clips:
        if clip.file:
            yield Listed("clip", clip.file, clip)
        if clip.poster:
            yield Listed("poster", clip.poster)
    for cut in cuts:
        if cut.file:
            yield Listed("cut", cut.file, cut=cut)
        if cut.poster:
            yield Listed("poster", cut.poster)


def thumbnails(takes: Sequence[TakeRecord]) -> dict[str, str]:
    """Return the names of these takes' thumbnails, each with the sha256 of its take."""
    return {take.file.thumbnail: take.file.sha256 for take in takes if take.file and take.file.thumbnail}


def asset_of(sidecar: Sidecar, one: Listed, uri: str) -> Asset:
    """Convert a listed file to an asset that is at `uri`."""
    file, part = one.file, one.part
    model = None
    if part is not None:
        image = sidecar.image.model if sidecar.image else None
        model = part.job.model if part.job else getattr(part, "model", image)
    return Asset(
        kind=one.kind,
        batch=sidecar.batch,
        shot=sidecar.shot,
        name=file.file,
        sha256=file.sha256,
        md5=file.md5,
        size=file.size,
        mime_type=file.mime_type,
        uri=uri,
        created=file.created,
        width=file.width,
        height=file.height,
        duration_s=file.duration_s,
        job_key=part.job_key if part else None,
        parent=file.parent,
        usd=Decimal(str(part.usd)) if part else Decimal(0),
        model=model,
        recipe=one.cut.recipe if one.cut else None,
        details=details_of(one.cut) if one.cut else None,
    )


def details_of(making: CutMaking) -> dict[str, Any] | None:
    """Convert a cut's making to what the ledger keeps, None when nothing is known."""
    return making.model_dump(mode="json", include=set(CutMaking.model_fields), exclude_defaults=True) or None


def making_of(details: Mapping[str, Any] | None) -> CutMaking:
    """Read a cut's making from what the ledger keeps or a catalogue row states."""
    told = {name: value for name, value in (details or {}).items() if name in CutMaking.model_fields}
    return CutMaking.model_validate(told)


def asset_of_row(row: Mapping[str, Any]) -> Asset:
    """Convert a row of the catalogue to an asset."""
    return Asset(
        kind=row["kind"],
        batch=row["batch"],
        shot=row["shot"],
        name=row["file"],
        sha256=row["sha256"],
        md5=row["md5"],
        size=row["size"],
        mime_type=row["mime_type"] or "",
        uri=row["uri"] or "",
        created=row["created"] or datetime.fromtimestamp(0, UTC),
        width=row["width"],
        height=row["height"],
        duration_s=row["duration_s"],
        job_key=row["job_key"] if row["kind"] in ("take", "clip") else None,
        parent=row["parent"],
        usd=Decimal(str(row["usd"] or 0)),
        model=row["model"],
        **_read_cut_facts(row),
    )


def _read_cut_facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe of a cut, and what its row states of how it was made."""
    if row["kind"] != "cut":
        return {}
    told = parameters_of(row)
    return {"recipe": told.get("recipe"), "details": details_of(making_of(told))}


def parameters_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the further values of a catalogue row; {} when they cannot be read.

    They stand beside its columns, as JSON.
    """
    try:
        found = json.loads(row.get("parameters") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
