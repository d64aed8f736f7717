"""Repair: what is missing or changed in a batch is put right.

It comes from whatever still has it; nothing is paid for. In the order of truth: files, then sidecars (from ledger and
catalogue), then the catalogue (from sidecars), then spots, gallery and marker. A file that is not what its name says is
replaced only when the right bytes are on this disk, or are made here; it is kept in `.damaged/` first.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from callsheet.archive import layout
from callsheet.archive.catalogue import PARQUET, part_bytes, write_part
from callsheet.archive.lineage import asset_of_row, list_doubtful, with_doubts
from callsheet.archive.marker import Success
from callsheet.archive.sidecar import Sidecar
from callsheet.archive.sidecar_io import in_order, write_sidecar
from callsheet.archive.verify import ArchiveContents, Finding, Unreadable, findings, is_gone_for_good
from callsheet.batch.documents import write_gallery, write_marker
from callsheet.context.context import RunContext
from callsheet.errors import ArchiveKept, ArchiveLost, CallsheetError
from callsheet.jobs.store import fetch
from callsheet.ledger import Job, ShotRow, Want
from callsheet.maintenance.repair_files import put_back, put_back_inputs, remake_files, remake_spots
from callsheet.maintenance.repair_state import Repair, make_way
from callsheet.reconcile.inspect import ByteReading, holdings, inspect
from callsheet.reconcile.rebuild_sidecar import Remembered, sidecar_from
from callsheet.reconcile.sidecar_check import check

log = logging.getLogger(__name__)


async def only_at_provider(run: RunContext, evidence: ArchiveContents, found: Sequence[Finding]) -> list[Job]:
    """Find the jobs whose files only the provider may still have.

    Theirs are missing or changed.
    """
    wanted = [asset for asset in Repair(run, evidence, found, {}).list_wanted().values() if asset.kind == "clip"]
    jobs = await run.resources.ledger.jobs({asset.job_key for asset in wanted if asset.job_key})
    gone = []
    for asset in wanted:
        job = jobs.get(asset.job_key or "")
        if job is None or job.operation is None:
            continue
        try:
            await fetch(run, asset.sha256, asset.size)
        except ArchiveLost:
            gone.append(job)
    return gone


async def repair(
    run: RunContext, evidence: ArchiveContents, found: Sequence[Finding], refused: Mapping[str, str]
) -> tuple[ArchiveContents, tuple[Finding, ...]]:
    """Put right what can be.

    The batch as it is then, and every finding with what was done, new ones among them.

    `refused` says by job why its provider did not give a file again. What goes wrong with one file is told there.
    Raises ArchiveError when the archive cannot be written to at all.
    """
    work = Repair(run, evidence, found, refused)
    await put_back_inputs(work)
    right = await put_back(work)
    await write_lost_sidecars(work)
    await remake_files(work, right)
    await mend_catalogue(work)
    more_spots, gallery = await remake_spots(work), layout.document(run.batch.prefix, layout.GALLERY)
    if (more_spots or gallery in work.wrong) and work.sidecars:
        await write_gallery(run, in_order(list(work.sidecars.values())))
    if gallery in work.wrong and work.sidecars:
        work.note(work.wrong[gallery], "Written anew from the sidecars.")
    after = await _marked(work, await _again(work))
    run.resources.spool.empty(asset.sha256 for name, asset in work.told.items() if name in after.files)
    return after, _mark_repaired(work, findings(after))


async def _again(work: Repair) -> ArchiveContents:
    """Return how the batch stands now.

    Of the bytes, only those are read again that were wrong.
    """
    run, before = work.run, work.evidence
    [held] = await holdings(run.resources.store, [run.batch.name])
    reading = ByteReading(only=frozenset(work.wrong)) if before.digests else None
    after = await inspect(run.resources.store, held, known=before.known, reading=reading)
    digests = {name: one for name, one in before.digests.items() if name not in work.wrong}
    return replace(after, digests={**digests, **after.digests})


async def _marked(work: Repair, after: ArchiveContents) -> ArchiveContents:
    """Return the same with a marker that is true of it.

    Written last, and only when the old one is not.
    """
    left, told = findings(after), after.list_all()
    lost = frozenset(told[one.name].shot for one in left if one.name in told and one.wrong != "uncatalogued")
    lost &= {one.shot for one in after.believed.values()}
    if _is_true(after, left, lost):
        return after
    marker, finding = await write_marker(work.run, after, lost), work.wrong.get(after.marker_name)
    if finding is not None and marker is not None:
        work.note(finding, f"Written anew: {'complete' if marker.complete else 'not complete'}.")
    elif finding is not None:
        work.note(finding, "Not written: run the batch's manifest again.", ok=False)
    return replace(after, marker=marker or after.marker)


def _is_true(evidence: ArchiveContents, left: Sequence[Finding], lost: frozenset[str]) -> bool:
    """Return whether the marker names what is there and calls nothing else complete."""
    if not isinstance(evidence.marker, Success) or set(evidence.marker.damaged) != lost:
        return False
    return not any(layout.is_sidecar(one.name) or layout.part_of(one.name) for one in left)


def _mark_repaired(work: Repair, after: Sequence[Finding]) -> tuple[Finding, ...]:
    left = {one.what for one in after}
    before = {one.what for one in work.found}
    told = [
        replace(one, done=work.done.get(one.what, ""), mended=one.what not in left | work.given_up)
        for one in work.found
    ]
    return tuple(sorted([*told, *(one for one in after if one.what not in before)], key=lambda one: one.what))


@dataclass(frozen=True, slots=True)
class Memory:
    """What ledger and catalogue know of a batch's shots, by names of sidecars."""

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
    return with_doubts(made, await ledger.doubts_on(list_doubtful(made)))


async def mend_catalogue(work: Repair) -> None:
    """Make the catalogue's parts true of the archive.

    What no readable part lists is listed, unreadable parts are kept aside, and the rows of what is gone for good are
    taken out.
    """
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
    """Replace a part by one without rows of derived files that have other names now."""
    kept = [row for row in rows if not _is_gone(now, row)]
    if len(kept) < len(rows):
        try:
            await run.resources.store.put_bytes(name, part_bytes([dict(row) for row in kept]), PARQUET)
        except ArchiveKept as error:  # a later part can list more, but takes nothing back
            log.warning("%s goes on listing what is gone: %s", name, error)


def _is_gone(evidence: ArchiveContents, row: Mapping[str, Any]) -> bool:
    return is_gone_for_good(evidence, evidence.place_of(row["shot"], row["file"]), asset_of_row(row))
