"""Repairing a batch's records: sidecars from ledger and catalogue, the catalogue from sidecars, then the marker."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from callsheet.archive import layout
from callsheet.archive.catalogue import PARQUET, part_bytes, write_part
from callsheet.archive.lineage import asset_of_row
from callsheet.archive.marker import Success, write_success
from callsheet.archive.sidecar import Sidecar
from callsheet.archive.sidecar_io import in_order, write_sidecar
from callsheet.archive.verify import Evidence, Finding, Unreadable, is_gone_for_good
from callsheet.errors import ArchiveError, ArchiveLost, CallsheetError
from callsheet.ledger import ShotRow, Want
from callsheet.shots import ShotState
from callsheet.steps.gallery import write_page
from callsheet.steps.rebuilt_rows import check
from callsheet.steps.rebuilt_sidecar import Remembered, sidecar_from
from callsheet.steps.repair_work import Repair, make_way
from callsheet.studio import Studio

PLAN_LIMIT = 256 << 20


@dataclass(frozen=True, slots=True)
class Memory:
    """What ledger and catalogue know of a batch's shots, by the names of their sidecars."""

    shots: Mapping[str, str]
    states: Mapping[str, ShotRow]
    wants: Mapping[str, Sequence[Want]]
    rows: Mapping[str, Sequence[Mapping[str, Any]]]


async def write_lost_sidecars(work: Repair) -> None:
    """Write lost and broken sidecars anew; one that a newer callsheet wrote, or that only the marker doubts, stays."""
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
    studio = work.studio
    try:
        sidecar = await _from_memory(work, memory, name)
        check(name, sidecar)
        kept = await make_way(studio, name)
        await write_sidecar(studio.store, studio.batch.prefix, sidecar, new=True)
    except CallsheetError as error:
        work.note(finding, f"Not written anew: {error}", ok=False)
        return
    work.sidecars[name] = sidecar
    work.note(finding, f"Written anew from ledger and catalogue, without scores and variables.{kept}")


async def _memory(work: Repair) -> Memory:
    ledger, batch = work.studio.ledger, work.studio.batch
    wants: dict[str, list[Want]] = defaultdict(list)
    rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for want in await ledger.wants_of(batch.name):
        wants[want.shot].append(want)
    for row in work.evidence.rows:
        rows[row["shot"]].append(row)
    shots = {layout.sidecar_name(batch.prefix, shot): shot for shot in (*await ledger.ever_of(batch.name), *rows)}
    return Memory(shots, {row.shot: row for row in await ledger.shots_of(batch.name)}, wants, rows)


async def _from_memory(work: Repair, memory: Memory, name: str) -> Sidecar:
    ledger, batch, marker = work.studio.ledger, work.studio.batch, work.evidence.marker
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
    studio, evidence = work.studio, work.evidence
    sidecars = in_order(list(work.sidecars.values()))
    written = await write_part(studio.store, studio.batch.name, sidecars, datetime.now(UTC).date())
    listed = f"Listed in {written}." if written else "The other parts list everything."
    now = replace(evidence, sidecars=work.sidecars, files=await studio.store.stats(f"{studio.batch.prefix}/"))
    for name, part in evidence.parts.items():
        if isinstance(part, Unreadable):
            work.note(work.wrong[name], f"{listed}{await make_way(studio, name)}")
        else:
            await _take_out(studio, now, name, part)
    for finding in work.found:
        if finding.wrong == "uncatalogued" or (finding.wrong == "missing" and layout.part_of(finding.name)):
            work.note(finding, listed)


async def _take_out(studio: Studio, now: Evidence, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace a part by one without the rows of derived files that were made anew under other names."""
    kept = [row for row in rows if not _is_gone(now, row)]
    if len(kept) < len(rows):
        await studio.store.put_bytes(name, part_bytes([dict(row) for row in kept]), PARQUET)


def _is_gone(evidence: Evidence, row: Mapping[str, Any]) -> bool:
    return is_gone_for_good(evidence, evidence.place_of(row["shot"], row["file"]), asset_of_row(row))


async def write_gallery(studio: Studio, sidecars: Sequence[Sidecar]) -> None:
    """Write the batch's gallery over its sidecars."""
    await write_page(studio.store, studio.ledger, studio.batch, sidecars)


async def write_marker(studio: Studio, evidence: Evidence, lost: frozenset[str]) -> Success | None:
    """Write the marker over the sidecars of `evidence`, last of all; None when a run has to do it, or there are none.

    Shots of which something is `lost` count as pending, and so do those of the plan that have no sidecar.
    """
    marker = evidence.marker
    if isinstance(marker, Success) and marker.status == "continuing":
        return None
    if isinstance(marker, Unreadable) and marker.newer:
        return None
    planned = await _planned(studio)
    believed = {one.shot: one for one in evidence.believed.values() if planned is None or one.shot in planned}
    if not believed:
        return None
    # What the last run called unfinished for reasons of its own stays so, whatever the sidecar says.
    earlier = set(marker.unfinished) - set(marker.damaged) if isinstance(marker, Success) else set()
    sidecars = [_pending(one) if one.shot in lost | earlier else one for one in in_order(list(believed.values()))]
    absent = [shot for shot in planned or () if shot not in believed]
    newest = list(evidence.parts)[-1] if evidence.parts else None
    named = marker.catalogue if isinstance(marker, Success) else newest
    hashes = {one.shot: evidence.hashes[name] for name, one in evidence.believed.items() if name in evidence.hashes}
    return await write_success(
        studio.store,
        studio.batch.prefix,
        sidecars,
        catalogue=named if named in evidence.parts else newest,
        finished=datetime.now(UTC),
        hashes=hashes,
        absent=absent,
        damaged=sorted(lost),
        ledger=marker.ledger if isinstance(marker, Success) else None,
    )


def _pending(sidecar: Sidecar) -> Sidecar:
    done = sidecar.state == ShotState.DONE.value
    return sidecar.model_copy(update={"state": ShotState.PENDING.value}) if done else sidecar


async def _planned(studio: Studio) -> list[str] | None:
    """The shots of the batch's last plan; None when there is no plan to read."""
    name = layout.document(studio.batch.prefix, layout.PLAN)
    try:
        plan = json.loads(await studio.store.read_bytes(name, PLAN_LIMIT))
        return [str(shot["shot"]) for shot in plan["shots"]]
    except (ArchiveError, ValueError, KeyError, TypeError):
        return None
