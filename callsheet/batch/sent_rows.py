"""Rows that were sent with a request, or read from Google: archived first.

They are CSV, so that whoever goes on with the batch reads them in the archive. They are a stranger's: files
are read from below the gs:// prefixes of CALLSHEET_INPUT_ROOTS only, never beside them.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from callsheet.archive import layout
from callsheet.archive.open import open_archive
from callsheet.archive.store import StoredFile
from callsheet.batch.prepare import PreparedRun, prepare_run
from callsheet.batch.request import RunRequest
from callsheet.errors import ManifestError, Problem
from callsheet.files import make_private, md5_of_bytes
from callsheet.google_sheets import is_google_sheet
from callsheet.settings import Settings
from callsheet.shots import Batch

#: The name that messages have for a sheet that has none.
NAME = "rows.csv"
#: The most that rows may hold, as compact JSON in UTF-8. Prefect's server takes 512 KiB of parameters in all (3.8.8).
MAX_BYTES = 200 * 1024


async def archive_rows(request: RunRequest, rows: Sequence[Mapping[str, Any]], settings: Settings) -> RunRequest:
    """Return the request with the address of its rows, which are archived there.

    The same rows have the same address, so doing it again changes nothing. Without a campaign the batch is called by
    their hash. Raises ManifestError for rows that are no valid sheet, and nothing is archived then.
    """
    data = write_rows(rows).encode()
    sha256 = hashlib.sha256(data).hexdigest()
    folder = layout.locate_sent_rows(settings.home)
    make_private(folder)
    with TemporaryDirectory(dir=folder) as own:
        file = Path(own) / layout.name_sent_rows(sha256)
        await asyncio.to_thread(file.write_bytes, data)
        batch = await _check(replace(request, manifest=str(file)), settings)
        return replace(request, manifest=await _store(file, data, batch, settings), campaign=batch.campaign)


async def archive_google_sheet(asked: PreparedRun) -> PreparedRun:
    """Return the run with its Google Sheet archived as it was read.

    The copy is the manifest from then on: shards, restarts and whoever goes on with the batch read it. A run with
    another manifest stays as it is.
    """
    if not is_google_sheet(asked.request.manifest):
        return asked
    data, batch, folder = asked.manifest.source, asked.batch, layout.locate_sent_rows(asked.settings.home)
    make_private(folder)
    with TemporaryDirectory(dir=folder) as own:
        file = Path(own) / layout.name_sent_rows(hashlib.sha256(data).hexdigest())
        await asyncio.to_thread(file.write_bytes, data)
        uri = await _store(file, data, batch, asked.settings)
    return replace(
        asked,
        request=replace(asked.request, manifest=uri, campaign=batch.campaign),
        manifest=replace(asked.manifest, uri=uri),
        batch=replace(batch, manifest_uri=uri),
    )


async def _store(file: Path, data: bytes, batch: Batch, settings: Settings) -> str:
    """Archive a manifest beside its batch and return its address."""
    name = f"{batch.prefix}/{file.name}"
    digests = hashlib.sha256(data).hexdigest(), md5_of_bytes(data)
    store = open_archive(settings)
    try:
        return await store.put_file(file, StoredFile(name, *digests, len(data), "text/csv; charset=utf-8"))
    finally:
        await store.aclose()


async def _check(request: RunRequest, settings: Settings) -> Batch:
    """Return the batch of a request whose rows are a valid sheet; ManifestError else."""
    try:
        return (await prepare_run(request, settings)).batch
    except ManifestError as error:
        told = (replace(one, file=NAME) if one.file == request.manifest else one for one in error.problems)
        raise ManifestError(tuple(told)) from None


def write_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a header of all their columns.

    Lists are joined by semicolons, as in a sheet; null is an empty cell. Raises ManifestError for what is no table.
    """
    size = len(json.dumps(rows, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "replace"))
    if size > MAX_BYTES:
        what, allowed = f"the rows have {size:,} bytes", f"allowed: at most {MAX_BYTES:,}"
        raise ManifestError((Problem(NAME, 1, "-", what, allowed, "put the sheet at a gs:// address, and send that"),))
    headers = list(dict.fromkeys(str(name) for row in rows for name in row))
    if not headers:
        raise ManifestError((Problem(NAME, 1, "-", "there are no rows", 'needed: [{"id": ..., "prompt": ...}]'),))
    problems: list[Problem] = []
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(headers)
    for number, row in enumerate(rows, start=2):
        writer.writerow([_write_cell(row.get(name), number, name, problems) for name in headers])
    if problems:
        raise ManifestError(tuple(problems))
    return text.getvalue()


def _write_cell(value: Any, line: int, column: str, problems: list[Problem]) -> str:
    if isinstance(value, list):
        parts = [_write_value(one) for one in value]
        if all(part is not None and ";" not in part for part in parts):
            return ";".join(str(part) for part in parts)
    elif (text := _write_value(value)) is not None:
        return text
    what, allowed = (
        f"this {type(value).__name__} is no cell",
        "allowed: text, numbers, true, false, null, lists",
    )
    problems.append(Problem(NAME, line, column[:100], what, allowed))
    return ""


def _write_value(value: Any) -> str | None:
    """Return a value as the text of a cell, None when it is none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return (str(int(value)) if value.is_integer() else repr(value)) if math.isfinite(value) else None
    return str(value) if isinstance(value, int | str) else None
