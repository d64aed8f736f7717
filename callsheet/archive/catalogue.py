"""The catalogue: one Parquet row per archived file.

With it a warehouse or `callsheet find` can query the archive.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from callsheet.archive import layout
from callsheet.archive.parts import IDENTITY, MAX_PART, SCHEMA, latest, list_parts, part_files, read_parts
from callsheet.archive.sidecar import CutMaking, CutRecord, FileRecord, Sidecar
from callsheet.archive.store import Store, create_document
from callsheet.errors import ArchiveConflict, ArchiveError

log = logging.getLogger(__name__)

PARQUET = "application/vnd.apache.parquet"
# More than there will ever be writers of one batch at once; each time one of them gets ahead.
_MOST_TRIES = 100
Row = dict[str, object]


def catalogue_rows(sidecar: Sidecar) -> list[Row]:
    """Build one row per file of the shot.

    US dollars stand on the file they paid for; derived files cost nothing.
    """
    return [*_build_take_rows(sidecar), *_build_clip_rows(sidecar), *_build_cut_rows(sidecar)]


def identity(row: Mapping[str, object]) -> tuple[object, ...]:
    """Return the columns that make a row the same row in two parts."""
    return tuple(row[column] for column in IDENTITY)


async def write_part(
    store: Store, batch: str, sidecars: Sequence[Sidecar], on: date, *, cache: Path | None = None
) -> str | None:
    """Write as a new part what no earlier part of the batch lists.

    Returns its name; None when there is nothing to write. `batch` is the batch's name. No part is ever replaced: a
    writer whose number was taken by another one meanwhile looks at what that one listed, and begins again. A part that
    cannot be read is left where it is, and what it listed is listed again. `cache` is the folder for copies of a
    bucket's parts.
    """
    rows = [row for sidecar in sidecars for row in catalogue_rows(sidecar)]
    for _ in range(_MOST_TRIES):
        number, listed = await _read_listed(store, batch, cache)
        new = [row for row in rows if identity(row) not in listed]
        if not new:
            return None
        name = layout.catalogue_part(batch, on, number)
        with contextlib.suppress(ArchiveConflict):
            await create_document(store, name, await asyncio.to_thread(part_bytes, new), PARQUET)
            return name
    raise ArchiveError(
        f"{store.uri}/{name}: other writers took the name {_MOST_TRIES} times, so this part of the catalogue was not "
        "written. Files and sidecars are stored. Run again when the others have ended."
    )


def part_bytes(rows: Sequence[Row]) -> bytes:
    """Encode the rows as a zstd Parquet file with the catalogue's schema.

    Equal rows stand once.
    """
    buffer = io.BytesIO()
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row").unique(IDENTITY, keep="first", maintain_order=True)
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


async def write_changed(store: Store, batch: str, rows: Sequence[Mapping[str, object]], on: date) -> str | None:
    """Write rows that the batch's parts tell otherwise, or not at all, as a new part.

    Returns its name; None when there is nothing to write. For an archive that keeps parts as they are: of rows that
    tell of the same file those of the last part count.
    """
    parts = [part for part in (await list_parts(store))[0] if part.batch == batch]
    async with part_files(store, parts, None) as local:
        found, _ = await asyncio.to_thread(read_parts, local.files)
    known = {identity(row): row for row in latest(found).rows(named=True)}
    new = [dict(row) for row in rows if known.get(identity(row)) != row]
    if not new:
        return None
    name = layout.catalogue_part(batch, on, max((part.number for part in parts), default=0) + 1)
    await create_document(store, name, await asyncio.to_thread(part_bytes, new), PARQUET)
    return name


async def read_part(store: Store, name: str) -> pl.DataFrame:
    """Read the rows of a part; ArchiveError when it is not a catalogue part."""
    rows, unreadable = read_parts({name: io.BytesIO(await store.read_bytes(name, MAX_PART))})
    if unreadable:
        raise ArchiveError(
            f"{store.uri}/{name} is not a catalogue part: {unreadable[name]}. "
            "Move it away; the next run lists its files again."
        )
    return rows


async def _read_listed(store: Store, batch: str, cache: Path | None) -> tuple[int, set[tuple[object, ...]]]:
    """Return the number of the batch's next part, and what the earlier ones list."""
    parts = [part for part in (await list_parts(store))[0] if part.batch == batch]
    async with part_files(store, parts, cache) as local:
        for error in local.failed.values():
            raise error
        rows, unreadable = await asyncio.to_thread(read_parts, local.files, None, IDENTITY)
    for name, why in unreadable.items():
        log.warning("%s/%s is not a part of the catalogue (%s); what it listed is listed anew.", store.uri, name, why)
    return max((part.number for part in parts), default=0) + 1, set(rows.iter_rows())


def _build_take_rows(sidecar: Sidecar) -> Iterator[Row]:
    image = sidecar.image
    parameters = image.model_dump(exclude_none=True, exclude={"model"}) if image else {}
    for take in sidecar.takes:
        if take.file:
            yield _build_row(
                sidecar,
                take.file,
                kind="take",
                take=take.take,
                chosen=take.chosen,
                prompt=sidecar.prompt,
                model=take.model_version or (image.model if image else None),
                parameters=_encode_json(parameters),
                job_key=take.job_key,
                usd=take.usd,
                thumbnail=take.file.thumbnail,
            )
        for other in take.others:
            yield _build_row(
                sidecar, other, kind="extra", take=take.take, prompt=sidecar.prompt, model=take.model_version
            )


def _build_clip_rows(sidecar: Sidecar) -> Iterator[Row]:
    for clip in (*sidecar.beginnings, *sidecar.clips):
        made: Row = {
            "take": clip.take,
            **_choose_prompts(sidecar),
            "model": clip.model,
            "parameters": _encode_json(
                clip.model_dump(exclude_none=True, include={"resolution", "aspect_ratio", "requested_duration_s"})
                | ({"step": clip.step} if clip.step else {})
                | ({"edit": True} if clip.is_edit else {})
                | ({"variant": clip.variant} if clip.variant > 1 else {})
            ),
            "job_key": clip.job_key,
            "operation": clip.operation,
            "thumbnail": clip.poster.file if clip.poster else None,
        }
        if clip.file:
            yield _build_row(sidecar, clip.file, kind="clip", usd=clip.usd, chosen=clip.chosen, **made)
        if clip.poster:
            yield _build_row(sidecar, clip.poster, kind="poster", **made)
        for other in clip.others:
            yield _build_row(
                sidecar, other, kind="extra", take=clip.take, prompt=sidecar.motion_prompt, model=clip.model
            )


def _build_cut_rows(sidecar: Sidecar) -> Iterator[Row]:
    models = {clip.take: clip.model for clip in sidecar.clips}
    for cut in sidecar.cuts:
        made: Row = {
            "take": cut.take,
            "spec": cut.spec,
            **_choose_prompts(sidecar),
            "model": models.get(cut.take),
            "parameters": _encode_cut_parameters(cut),
            "thumbnail": cut.poster.file if cut.poster else None,
        }
        if cut.file:
            yield _build_row(sidecar, cut.file, kind="cut", **made)
        if cut.poster:
            yield _build_row(sidecar, cut.poster, kind="poster", **made)


def _choose_prompts(sidecar: Sidecar) -> Row:
    if sidecar.motion_prompt is None:
        return {"prompt": sidecar.prompt}
    return {"prompt": sidecar.motion_prompt, "frame_prompt": sidecar.prompt}


def _encode_cut_parameters(cut: CutRecord) -> str:
    # The numbers of the platform stay in the sidecar; its name is the row's `spec`.
    told = {*CutMaking.model_fields, "recipe"} - {"platform"}
    return _encode_json(cut.model_dump(mode="json", exclude_defaults=True, include=told))


def _build_row(sidecar: Sidecar, file: FileRecord, **made: object) -> Row:
    """Build a row with every column of the schema; what `made` does not have is empty."""
    return {
        **dict.fromkeys(SCHEMA),
        **sidecar.model_dump(include={"campaign", "batch", "edition", "mode", "shot", "line"}),
        **file.model_dump(exclude={"fps", "thumbnail"}),
        "tags": list(sidecar.tags),
        "usd": 0.0,
        "chosen": False,
        **made,
    }


def _encode_json(values: dict[str, object]) -> str:
    return json.dumps(values, sort_keys=True, ensure_ascii=False)
