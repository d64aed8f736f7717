"""Repair: what is missing or changed in a batch is put right from whatever still has it. Nothing is paid for.

In the order of truth: files, then sidecars, then the catalogue, then spots, gallery and marker. A file that is not what
its name says is replaced only when the right bytes are on this disk, or are made here; it is kept in `.damaged/` first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from callsheet.archive import layout
from callsheet.archive.marker import Success
from callsheet.archive.sidecar_io import in_order
from callsheet.archive.verify import ArchiveContents, Finding, findings
from callsheet.batch.documents import write_gallery, write_marker
from callsheet.context.context import RunContext
from callsheet.errors import ArchiveLost
from callsheet.jobs.store import fetch
from callsheet.ledger import Job
from callsheet.maintenance.repair_files import put_back, put_back_inputs, remake_files, remake_spots
from callsheet.maintenance.repair_records import mend_catalogue, write_lost_sidecars
from callsheet.maintenance.repair_state import Repair
from callsheet.reconcile.inspect import holdings, inspect


async def only_at_provider(run: RunContext, evidence: ArchiveContents, found: Sequence[Finding]) -> list[Job]:
    """Find the jobs whose files only the provider may still have.

    Theirs are missing or changed.
    """
    wanted = [asset for asset in Repair(run, evidence, found, {}).wanted().values() if asset.kind == "clip"]
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
    return after, _told(work, findings(after))


async def _again(work: Repair) -> ArchiveContents:
    """Return how the batch stands now.

    Of the bytes, only those are read again that were wrong.
    """
    run, before = work.run, work.evidence
    [held] = await holdings(run.resources.store, [run.batch.name])
    known = before.known
    deep = bool(before.digests)
    after = await inspect(run.resources.store, held, known=known, deep=deep, only=frozenset(work.wrong))
    digests = {name: one for name, one in before.digests.items() if name not in work.wrong}
    return replace(after, digests={**digests, **after.digests})


async def _marked(work: Repair, after: ArchiveContents) -> ArchiveContents:
    """Return the same with a marker that is true of it.

    Written last, and only when the old one is not.
    """
    left, told = findings(after), after.told()
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
    """Return whether the marker is there, names what is there, and does not call complete what is not."""
    if not isinstance(evidence.marker, Success) or set(evidence.marker.damaged) != lost:
        return False
    return not any(layout.is_sidecar(one.name) or layout.part_of(one.name) for one in left)


def _told(work: Repair, after: Sequence[Finding]) -> tuple[Finding, ...]:
    left = {one.what for one in after}
    before = {one.what for one in work.found}
    told = [
        replace(one, done=work.done.get(one.what, ""), mended=one.what not in left | work.given_up)
        for one in work.found
    ]
    return tuple(sorted([*told, *(one for one in after if one.what not in before)], key=lambda one: one.what))
