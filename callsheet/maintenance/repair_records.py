"""Repairing a batch's records: sidecars from ledger and catalogue, the catalogue from sidecars, then the marker."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from callsheet.archive import layout
from callsheet.archive.catalogue import PARQUET, part_bytes, write_part
from callsheet.archive.lineage import asset_of_row
from callsheet.archive.marker import Success
from callsheet.archive.sidecar import Sidecar
from callsheet.archive.sidecar_io import in_order, write_sidecar
from callsheet.archive.verify import ArchiveContents, Finding, Unreadable, is_gone_for_good
from callsheet.context.context import RunContext
from callsheet.errors import ArchiveKept, ArchiveLost, CallsheetError
from callsheet.ledger import ShotRow, Want
from callsheet.maintenance.repair_state import Repair, make_way
from callsheet.reconcile.rebuild_sidecar import Remembered, sidecar_from
from callsheet.reconcile.sidecar_check import check

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Memory:
    """What ledger and catalogue know of a batch's shots, by the names of their sidecars."""

    shots: Mapping[str, str]
    states: Mapping[str, ShotRow]
    wants: Mapping[str, Sequence[Want]]
    rows: Mapping[str, Sequence[Mapping[str, Any]]]


async def write_lost_sidecars(work: Repair) -> None:
    """Write lost and broken sidecars anew.

    One that a newer callsheet wrote, or that only the marker doubts, stays.
    """
    lost = []
    for name, finding in work.wrong.items():
        there = work.evidence.sidecars.get(name)
        if not layout.is_sidecar(name):
            continue
        if isinstance(there, Sidecar):
            work.note(finding, "It is readable and adds up, so the marker lists it as it is.")
        elif isinstance(there, Unreadable) and there.newer:
            work.note(finding, "Left alone: bring callsheet up to date.", ok=False)
        else:
            lost.append((name, finding))
    if lost:
        memory = await _memory(work)
        for name, finding in lost:
            await _write_lost(work, memory, name, finding)


async def _write_lost(work: Repair, memory: Memory, name: str, finding: Finding) -> None:
    run = work.run
    try:
        sidecar = await _from_memory(work, memory, name)
        check(name, sidecar)
        kept = await make_way(run, name)
        await write_sidecar(run.resources.store, run.batch.prefix, sidecar, new=True)
    except CallsheetError as error:
        work.note(finding, f"Not written anew: {error}", ok=False)
        return
    work.sidecars[name] = sidecar
    work.note(finding, f"Written anew from ledger and catalogue, without scores and variables.{kept}")


async def _memory(work: Repair) -> Memory:
    ledger, batch = work.run.resources.ledger, work.run.batch
    wants: dict[str, list[Want]] = defaultdict(list)
    rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for want in await ledger.wants_of(batch.name):
        wants[want.shot].append(want)
    for row in work.evidence.rows:
        rows[row["shot"]].append(row)
    shots = {layout.sidecar_name(batch.prefix, shot): shot for shot in (*await ledger.ever_of(batch.name), *rows)}
    return Memory(shots, {row.shot: row for row in await ledger.shots_of(batch.name)}, wants, rows)


async def _from_memory(work: Repair, memory: Memory, name: str) -> Sidecar:
    ledger, batch, marker = work.run.resources.ledger, work.run.batch, work.evidence.marker
    shot = memory.shots.get(name)
    if shot is None:
        raise ArchiveLost("Neither ledger nor catalogue knows its shot. Run the batch's manifest again.")
    wants, rows = memory.wants.get(shot, ()), memory.rows.get(shot, ())
    keys = {want.job_key for want in wants} | {row["job_key"] for row in rows if row["job_key"]}
    jobs, assets = await ledger.jobs(keys), await ledger.assets_of(batch.name, shot)
    decisions = (await ledger.frame_decisions(batch.name, [shot])).get(shot, ())
    pins = (await ledger.frame_pins(batch.name, [shot])).get(shot, ())
    known = Remembered(batch, shot, memory.states.get(shot), wants, jobs, assets, rows, decisions, pins)
    done = isinstance(marker, Success) and shot not in marker.unfinished
    made = sidecar_from(known, done=done, updated=datetime.now(UTC))
    if made is None:
        raise ArchiveLost("Nothing is on record of what was made for it. Run the batch's manifest again.")
    return made


async def mend_catalogue(work: Repair) -> None:
    """List what no readable part lists, keep unreadable parts aside, take out the rows of what is gone for good."""
    run, evidence = work.run, work.evidence
    sidecars = in_order(list(work.sidecars.values()))
    written = await write_part(run.resources.store, run.batch.name, sidecars, datetime.now(UTC).date())
    listed = f"Listed in {written}." if written else "The other parts list everything."
    now = replace(evidence, sidecars=work.sidecars, files=await run.resources.store.stats(f"{run.batch.prefix}/"))
    for name, part in evidence.parts.items():
        if isinstance(part, Unreadable):
            work.note(work.wrong[name], f"{listed}{await make_way(run, name)}")
        else:
            await _take_out(run, now, name, part)
    for finding in work.found:
        if finding.wrong == "uncatalogued" or (finding.wrong == "missing" and layout.part_of(finding.name)):
            work.note(finding, listed)


async def _take_out(run: RunContext, now: ArchiveContents, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace a part by one without the rows of derived files that were made anew under other names."""
    kept = [row for row in rows if not _is_gone(now, row)]
    if len(kept) < len(rows):
        try:
            await run.resources.store.put_bytes(name, part_bytes([dict(row) for row in kept]), PARQUET)
        except ArchiveKept as error:  # a later part can list more, but takes nothing back
            log.warning("%s goes on listing what is gone: %s", name, error)


def _is_gone(evidence: ArchiveContents, row: Mapping[str, Any]) -> bool:
    return is_gone_for_good(evidence, evidence.place_of(row["shot"], row["file"]), asset_of_row(row))
