"""Repairing the files that finish cuts: their very bytes from the spool, or from where the manifest had them."""

from __future__ import annotations

from callsheet.archive.sidecar import InputRecord
from callsheet.errors import CallsheetError
from callsheet.shots import Reference
from callsheet.steps.inputs import input_path, put_input
from callsheet.steps.repair_work import Repair, make_way


async def put_back_inputs(work: Repair) -> None:
    """Put back the finishing files that are missing or changed: cuts that are made again may need them."""
    for name, record in work.evidence.inputs().items():
        if name in work.wrong:
            await _put_back(work, name, record)


async def _put_back(work: Repair, name: str, record: InputRecord) -> None:
    studio, finding = work.studio, work.wrong[name]
    try:
        path = await input_path(studio, Reference(record.uri, record.sha256, record.mime_type, record.size))
        kept = await make_way(studio, name)
        await put_input(studio, name, path)
    except CallsheetError as error:
        work.note(finding, f"Not put back: {error}", ok=False)
        return
    work.note(finding, f"Put back with the right bytes.{kept}")
