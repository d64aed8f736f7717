"""Repairing spots: a lost film is joined again from its parts, as its record tells."""

from __future__ import annotations

import shlex

from callsheet.archive import layout
from callsheet.archive.sidecars import in_order
from callsheet.archive.spots import SpotRecord, read_spot
from callsheet.archive.verify import Finding
from callsheet.errors import ArchiveDenied, CallsheetError
from callsheet.steps.repair_work import Repair, make_way
from callsheet.steps.spots import assemble, planned_again
from callsheet.studio import Studio


async def remake_spots(work: Repair) -> bool:
    """Make the lost spots again, after their parts are back; whether there is one more now."""
    lost = [one for name, one in work.wrong.items() if layout.is_spot(work.studio.batch.prefix, name)]
    return any([await _remake(work, finding) for finding in lost])


async def _remake(work: Repair, finding: Finding) -> bool:
    studio, name = work.studio, f"{finding.name.removesuffix('.mp4')}.json"
    record = await read_spot(studio.store, studio.batch.prefix, name, work.evidence.files[name])
    if record is None:
        again = f"Make it with `callsheet assemble {studio.batch.name}`."
        work.note(finding, f"Not made again: its record cannot be believed, and was left as it is. {again}", ok=False)
        return False
    try:
        made, _ = await assemble(studio, in_order(list(work.sidecars.values())), planned_again(record))
        kept = await _old_record(studio, name, made, finding)
    except ArchiveDenied:
        raise
    except CallsheetError as error:
        work.note(finding, f"Not made again: {error} Then: `{command(record)}`.", ok=False)
        return False
    work.note(finding, f"Made again of its {len(made.parts)} parts.{kept}")
    return True


async def _old_record(studio: Studio, name: str, made: SpotRecord, finding: Finding) -> str:
    """Keep the old record aside when another encoder gave the film other bytes, so another name."""
    if finding.name.endswith(f"/{made.file.file}"):
        return ""
    return f" It is {made.file.file} now.{await make_way(studio, name)}"


def command(record: SpotRecord) -> str:
    """What makes such a spot of what the batch has now."""
    fade_s = record.wanted.crossfade_s if record.wanted else record.crossfade_s
    words = ["callsheet", "assemble", record.batch, "--name", record.name]
    words += ["--for", record.cut] if record.cut else []
    words += ["--crossfade", f"{fade_s:g}"] if fade_s else []
    return shlex.join([*words, *(word for part in record.parts for word in ("--shot", part.shot))])
