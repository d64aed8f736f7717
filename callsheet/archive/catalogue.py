"""The catalogue: one Parquet row per archived file, so a warehouse or `callsheet find` can query the archive."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from callsheet.archive import layout
from callsheet.archive.sidecar import CutRecord, FileRecord, Sidecar
from callsheet.archive.store import Store
from callsheet.errors import ArchiveError

MAX_PART = 512 * 1024 * 1024
_TEXT = pl.String()
SCHEMA: dict[str, pl.DataType] = {
    "campaign": _TEXT,
    "batch": _TEXT,
    "edition": _TEXT,
    "mode": _TEXT,
    "shot": _TEXT,
    "line": pl.Int64(),
    "kind": _TEXT,
    "take": pl.Int64(),
    "spec": _TEXT,
    "chosen": pl.Boolean(),
    "prompt": _TEXT,
    "model": _TEXT,
    "parameters": _TEXT,
    "job_key": _TEXT,
    "operation": _TEXT,
    "usd": pl.Float64(),
    "file": _TEXT,
    "uri": _TEXT,
    "sha256": _TEXT,
    "md5": _TEXT,
    "parent": _TEXT,
    "size": pl.Int64(),
    "mime_type": _TEXT,
    "width": pl.Int64(),
    "height": pl.Int64(),
    "duration_s": pl.Float64(),
    "created": pl.Datetime("us", "UTC"),
    "tags": pl.List(pl.String()),
}
Row = dict[str, object]
_IDENTITY = ("batch", "shot", "file", "sha256")


def catalogue_rows(sidecar: Sidecar) -> list[Row]:
    """One row per file of the shot. Dollars stand on the file they paid for; derived files cost nothing."""
    return [*_takes(sidecar), *_clips(sidecar), *_cuts(sidecar)]


def identity(row: Mapping[str, Any]) -> tuple[object, ...]:
    """What makes a row the same row in two parts."""
    return tuple(row[column] for column in _IDENTITY)


async def write_part(store: Store, batch: str, sidecars: Sequence[Sidecar], on: date) -> str | None:
    """Write what no earlier part of the batch lists as a new part and return its name; None when there is nothing.

    `batch` is the batch's name. One writer per batch at a time: two at once could choose the same number.
    """
    earlier = {name: n for name in await store.list(f"{layout.CATALOGUE}/") if (n := layout.part_number(name, batch))}
    listed: set[tuple[object, ...]] = set()
    for name in earlier:
        listed.update((await read_part(store, name)).select(_IDENTITY).iter_rows())
    rows = [row for sidecar in sidecars for row in catalogue_rows(sidecar) if identity(row) not in listed]
    if not rows:
        return None
    name = layout.catalogue_part(batch, on, max(earlier.values(), default=0) + 1)
    await store.put_bytes(name, part_bytes(rows), "application/vnd.apache.parquet")
    return name


def part_bytes(rows: Sequence[Row]) -> bytes:
    """The rows as a zstd Parquet file with the catalogue's schema, equal rows once."""
    buffer = io.BytesIO()
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row").unique(_IDENTITY, keep="first", maintain_order=True)
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


async def read_part(store: Store, name: str) -> pl.DataFrame:
    """The rows of a part; ArchiveError when it is not a catalogue part."""
    data = await store.read_bytes(name, MAX_PART)
    try:
        return pl.read_parquet(io.BytesIO(data)).select(*SCHEMA)
    except pl.exceptions.PolarsError as error:
        raise ArchiveError(
            f"{store.uri}/{name} is not a catalogue part: {error}. Move it away; the next run lists its files again."
        ) from error


def _takes(sidecar: Sidecar) -> Iterator[Row]:
    image = sidecar.image
    parameters = image.model_dump(exclude_none=True, exclude={"model"}) if image else {}
    for take in sidecar.takes:
        if take.file:
            yield _row(
                sidecar,
                take.file,
                kind="take",
                take=take.take,
                chosen=take.chosen,
                prompt=sidecar.prompt,
                model=take.model_version or (image.model if image else None),
                parameters=_json(parameters),
                job_key=take.job_key,
                usd=take.usd,
            )


def _clips(sidecar: Sidecar) -> Iterator[Row]:
    for clip in sidecar.clips:
        made: Row = {
            "take": clip.take,
            "prompt": sidecar.motion_prompt or sidecar.prompt,
            "model": clip.model,
            "parameters": _json(
                clip.model_dump(exclude_none=True, include={"resolution", "aspect_ratio", "requested_duration_s"})
            ),
            "job_key": clip.job_key,
            "operation": clip.operation,
        }
        if clip.file:
            yield _row(sidecar, clip.file, kind="clip", usd=clip.usd, **made)
        if clip.poster:
            yield _row(sidecar, clip.poster, kind="poster", **made)


def _cuts(sidecar: Sidecar) -> Iterator[Row]:
    models = {clip.take: clip.model for clip in sidecar.clips}
    for cut in sidecar.cuts:
        made: Row = {
            "take": cut.take,
            "spec": cut.spec,
            "prompt": sidecar.motion_prompt or sidecar.prompt,
            "model": models.get(cut.take),
            "parameters": _cut_parameters(cut),
        }
        if cut.file:
            yield _row(sidecar, cut.file, kind="cut", **made)
        if cut.poster:
            yield _row(sidecar, cut.poster, kind="poster", **made)


def _cut_parameters(cut: CutRecord) -> str:
    return _json(cut.model_dump(exclude_none=True, include={"how", "crop"}))


def _row(sidecar: Sidecar, file: FileRecord, **made: object) -> Row:
    """A row with every column of the schema; what `made` does not tell is empty."""
    return {
        **dict.fromkeys(SCHEMA),
        **sidecar.model_dump(include={"campaign", "batch", "edition", "mode", "shot", "line"}),
        **file.model_dump(exclude={"fps", "thumbnail"}),
        "tags": list(sidecar.tags),
        "usd": 0.0,
        "chosen": False,
        **made,
    }


def _json(values: dict[str, object]) -> str:
    return json.dumps(values, sort_keys=True, ensure_ascii=False)
