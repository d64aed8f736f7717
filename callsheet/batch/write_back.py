"""Writing back: how the rows of a sheet stand, in a copy beside it.

The sheet itself is never touched.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from callsheet.archive import layout
from callsheet.archive.open import open_archive
from callsheet.archive.sidecar import Sidecar
from callsheet.archive.sidecar_io import read_readable
from callsheet.archive.store import Store
from callsheet.batch.prepare import PreparedRun
from callsheet.errors import SettingsError
from callsheet.files import replacing
from callsheet.google_sheets import parse_sheet_address
from callsheet.manifest.columns import STATUS_COLUMNS
from callsheet.manifest.csv_reader import shape_sheet
from callsheet.manifest.problems import Findings
from callsheet.manifest.status_columns import RowStatus, add_status, write_workbook
from callsheet.manifest.workbook import read_workbook
from callsheet.sources import is_remote, read_bytes, split_sheet

_LEFT_OUT = "left out"
_WORST_FIRST = ("failed", "blocked", "waiting", "parked", "pending", "done")
_TYPES = {".csv": "text/csv", ".tsv": "text/tab-separated-values", ".tab": "text/tab-separated-values"}
_KINDS = (*_TYPES, ".xlsx", ".xlsm")


def check_can_be_written_back(manifest: str) -> None:
    """Raise SettingsError for a manifest without rows to write to."""
    if _kind_of(manifest) not in _KINDS:
        raise SettingsError(
            f"--write-back is for sheets (CSV, TSV, XLSX, Google Sheets), and {manifest} is none. Nothing was made."
        )


async def write_status(asked: PreparedRun, left_out: Collection[int] = ()) -> str:
    """Write the status of each row into a copy of the sheet and return where that is.

    `sheet.status.csv` beside `sheet.csv`, or in the batch's folder of the archive when the sheet is not on this
    machine. The rows at the lines in `left_out` have that as their state. SettingsError when a file of that name is not
    ours.
    """
    store = open_archive(asked.settings)
    try:
        status = await _collect(store, asked)
        told = {line: replace(status.get(line, RowStatus("")), state=_LEFT_OUT) for line in left_out}
        data = await asyncio.to_thread(_write_copy, asked, {**status, **told})
        file, _ = split_sheet(asked.request.manifest)
        if is_remote(file):
            kind = ".xlsx" if _kind_of(asked.request.manifest).startswith(".xls") else _kind_of(asked.request.manifest)
            name = layout.document(asked.batch.prefix, f"sheet.status{kind}")
            return await store.put_bytes(name, data, _TYPES.get(kind, layout.manifest_type(name)))
    finally:
        await store.aclose()
    return str(await asyncio.to_thread(_replace, Path(file), data, asked.manifest.source))


def _kind_of(manifest: str) -> str:
    sheet = parse_sheet_address(manifest)
    return ".csv" if sheet else PurePosixPath(split_sheet(manifest)[0].partition("?")[0]).suffix.lower()


async def _collect(store: Store, asked: PreparedRun) -> dict[int, RowStatus]:
    """Return the status of each row by its line, from the sidecars of its shots."""
    prefix = asked.batch.prefix
    there = await store.stats(f"{prefix}/")
    names = [name for shot in asked.shots if (name := layout.sidecar_name(prefix, shot.id)) in there]
    told = {sidecar.shot: sidecar for sidecar, _ in (await read_readable(store, names))[0]}
    by_line = defaultdict[int, list[str]](list)
    for shot in asked.shots:
        by_line[shot.line].append(shot.id)
    root = f"{store.uri}/{prefix}"
    return {line: judge_row([told.get(shot) for shot in shots], root) for line, shots in by_line.items()}


def judge_row(shots: Sequence[Sidecar | None], root: str) -> RowStatus:
    """Return the status of a row by the sidecars of its shots, None for one without.

    It is the worst of their states, what they cost together, and the address of the last file. A rehearsal costs
    nothing.
    """
    state = min((one.state if one else "pending" for one in shots), key=_WORST_FIRST.index)
    known = [one for one in shots if one]
    is_live = any(one.mode == "live" for one in known)
    files = [f"{layout.shot_folder(root, one.shot)}/{file}" for one in known if (file := _find_file(one))]
    cost = f"{sum(one.usd for one in known):.4f}" if is_live else "0"
    return RowStatus(
        state if is_live or not known else f"{state} (rehearsal)",
        layout.link_to(files[-1]) if files else "",
        cost if known else "",
    )


def _find_file(shot: Sidecar) -> str | None:
    """Return the file of a shot: its clip, else the chosen picture."""
    clips = [clip.file.file for clip in shot.clips if clip.file]
    takes = [take.file.file for take in sorted(shot.takes, key=lambda take: not take.chosen) if take.file]
    return next(iter((*clips, *takes)), None)


def _write_copy(asked: PreparedRun, status: Mapping[int, RowStatus]) -> bytes:
    file, wanted = split_sheet(asked.request.manifest)
    kind, data = _kind_of(asked.request.manifest), asked.manifest.source
    if not kind.startswith(".xls"):
        return add_status(data, file, status, tabs=kind != ".csv")
    sheet = read_workbook(data, file, wanted, (), Findings())
    return write_workbook(sheet.name, sheet.rows, shape_sheet(sheet.rows, file, Findings()).header_line, status)


def _replace(sheet: Path, data: bytes, source: bytes) -> Path:
    """Put the copy beside the sheet, in place of an earlier one."""
    stem, kind = sheet.stem.removesuffix(".status"), ".xlsx" if sheet.suffix.lower() == ".xlsm" else sheet.suffix
    target = sheet.with_name(f"{stem}.status{kind}")
    if target.exists():
        there = read_bytes(str(target))
        if target.name == sheet.name and there != source:
            raise SettingsError(f"{target} was changed while the batch ran, and was not written. The batch is done.")
        if not _is_ours(there, str(target)):
            raise SettingsError(f"{target} is not a copy that callsheet wrote, and was not replaced: move it away.")
    with replacing(target) as part:
        part.write_bytes(data)
    return target


def _is_ours(data: bytes, file: str) -> bool:
    name = STATUS_COLUMNS[0]
    if data.startswith(b"PK"):
        rows = read_workbook(data, file, "", (), Findings()).rows
        return any(name in row.cells for row in rows)
    return any(name.encode(codec) in data for codec in ("utf-8", "utf-16-le", "utf-16-be"))
