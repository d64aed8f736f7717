"""Repairing spots: one that has lost a file is joined again from its parts, as its record tells."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Sequence

from callsheet.archive import layout
from callsheet.archive.sidecar_io import in_order
from callsheet.archive.spots import SpotRecord
from callsheet.archive.verify import Finding
from callsheet.context.context import Studio
from callsheet.errors import ArchiveDenied, CallsheetError
from callsheet.steps.repair_work import Repair, make_way
from callsheet.steps.spots import assemble, planned_again


async def remake_spots(work: Repair) -> bool:
    """Make the spots again that have lost a file, after their parts are back; whether there is one more now."""
    lost: dict[str, list[Finding]] = defaultdict(list)
    for name, finding in work.wrong.items():
        if layout.is_spot(work.studio.batch.prefix, name):
            lost[_record_of(work, name)].append(finding)
    return any([await _remake(work, name, found) for name, found in lost.items()])


def _record_of(work: Repair, lost: str) -> str:
    """The name of the record that tells of a spot's file; a film's own carries its hash."""
    file = lost.rpartition("/")[2]
    every = work.evidence.spots.items()
    own = (name for name, record in every if file in {one.file for one in record.files})
    return next(own, f"{lost.removesuffix('.mp4')}.json")


async def _remake(work: Repair, name: str, lost: Sequence[Finding]) -> bool:
    studio, record = work.studio, work.evidence.spots.get(name)
    if record is None:
        again = f"Make it with `callsheet assemble {studio.batch.name}`."
        _note(work, lost, f"Not made again: its record cannot be believed, and was left as it is. {again}", ok=False)
        return False
    try:
        made, _ = await assemble(studio, in_order(list(work.sidecars.values())), planned_again(record))
        kept = await _old_record(studio, name, record, made)
    except ArchiveDenied:
        raise
    except CallsheetError as error:
        _note(work, lost, f"Not made again: {error} Then: `{command(record)}`.", ok=False)
        return False
    _note(work, lost, f"Made again of its {len(made.parts)} parts.{kept}")
    return True


def _note(work: Repair, lost: Sequence[Finding], done: str, *, ok: bool = True) -> None:
    for finding in lost:
        work.note(finding, done, ok=ok)


async def _old_record(studio: Studio, name: str, old: SpotRecord, made: SpotRecord) -> str:
    """Keep the old record aside when another encoder gave the film other bytes, so another name."""
    if old.file.file == made.file.file:
        return ""
    return f" It is {made.file.file} now.{await make_way(studio, name)}"


def command(record: SpotRecord) -> str:
    """What makes such a spot of what the batch has now."""
    fade_s = record.wanted.crossfade_s if record.wanted else record.crossfade_s
    words = ["callsheet", "assemble", record.batch, "--name", record.name]
    words += ["--for", record.cut] if record.cut else []
    words += ["--crossfade", f"{fade_s:g}"] if fade_s else []
    return shlex.join([*words, *(word for part in record.parts for word in ("--shot", part.shot))])
