"""Recovery: fetch, for free, what was paid for and is not in the archive.

It needs the ledger alone. Works without manifest, plan or Prefect, in whatever batch, and submits nothing. What expires
first comes first.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from callsheet.archive import layout
from callsheet.batch.open import open_for, open_records, to_recover
from callsheet.concurrency import gather_all
from callsheet.context.context import RunContext
from callsheet.context.poller import ENDS
from callsheet.errors import (
    ArchiveLost,
    CallsheetError,
    DownloadFailed,
    NotAccepted,
    OperationExpired,
    OperationWithheld,
    ProviderError,
    SettingsError,
)
from callsheet.jobs.fetch import download, fetch_video, naming_the_key, watch_of
from callsheet.jobs.missing import How, Missing, Recovered, look_for_evidence, missing_in
from callsheet.jobs.persist import persist
from callsheet.jobs.spool_files import check_source
from callsheet.jobs.store import PaidFile, deposit_result
from callsheet.ledger import Job, JobOrder, JobState
from callsheet.ledger.records import EDIT_OF, is_worth_a_look
from callsheet.plan.extensions import EDIT, EXTEND, read_clip_slot
from callsheet.settings import Settings
from callsheet.shots import Asset, AssetKind, Batch, Mode
from callsheet.steps.clips import end_operation


async def recover(run: RunContext, missing: Sequence[Missing], batches: Mapping[str, Batch]) -> list[Recovered]:
    """Fetch what can be fetched now, side by side.

    What goes wrong with one job stays with it.
    """
    return await gather_all(_one(run_for(run, batches[one.batch]), one) for one in missing)


def run_for(run: RunContext, batch: Batch) -> RunContext:
    """Return the run context for another batch of its mode.

    Resources are shared, the shots' work is not.
    """
    return replace(run, batch=batch, state=run.state.for_other_batch())


async def _one(run: RunContext, one: Missing) -> Recovered:
    try:
        how, reason = await (_again(run, one) if one.job.state is JobState.STORED else _claimed(run, one.job))
    except ArchiveLost as error:
        how, reason = "lost", str(error)
    except CallsheetError as error:
        now = (await run.resources.ledger.jobs([one.job.key])).get(one.job.key, one.job)
        how, reason = one.unreached(now.state), str(error)
    return one.conclude(how, reason)


async def _claimed(run: RunContext, job: Job) -> tuple[How, str]:
    """Work on a job under its lease, which is given back at the end.

    The next run may go on at once.
    """
    if is_worth_a_look(job):
        await run.resources.ledger.look_again(job.key)
    claim = await run.resources.ledger.take(job.key)
    if not claim.mine:
        if claim.job.state is JobState.STORED:
            return "fetched", "Another process has just stored it."
        return "held", f"Held by another process ({claim.job.owner}), which looks after it."
    try:
        return await _collect(run, claim.job)
    finally:
        await run.resources.ledger.release(job.key)


async def _collect(run: RunContext, job: Job) -> tuple[How, str]:
    if job.state is JobState.UNKNOWN:
        job = await _decide_submitted(run, job)
    if job.state is JobState.SUBMITTED:
        return await _from_operation(run, job)
    if job.state is JobState.FINISHED:
        return await _from_anywhere(run, job, None)
    if job.state is JobState.PLANNED:
        return (
            "ended",
            job.reason if job.spent_usd else "It was never accepted, and cost nothing: the next run sends it.",
        )
    if job.state in (JobState.FAILED, JobState.BLOCKED):
        return "ended", job.reason
    return "doubt", f"{job.reason} Decide with `callsheet resolve`."


async def _decide_submitted(run: RunContext, job: Job) -> Job:
    """Return a job in doubt, adopted when it is certain that it was accepted.

    Nothing is sent either way.
    """
    order = JobOrder(
        job.key, job.kind, job.mode, job.model, run.batch.campaign, job.batch, job.shot, job.slot, job.request
    )
    try:
        return await look_for_evidence(run, order, job)
    except NotAccepted:
        return job


async def _from_operation(run: RunContext, job: Job) -> tuple[How, str]:
    """Look at the operation once.

    Fetch its video, record its end, or leave it running.
    """
    try:
        watch = await watch_of(run, job)
        await check_source(run, job, watch.operation)
        async with naming_the_key(run, job):
            ready = await run.resources.poller.find(watch)
            if ready is None:
                until = f"{watch.expires:%Y-%m-%d %H:%M} UTC"
                return "running", f"{watch.operation} is not done yet. It is kept until {until}."
            result = await download(run, job, watch, ready, job.estimated_usd)
    except (OperationWithheld, DownloadFailed) as error:
        return "withheld", str(error)
    except ENDS as error:
        ended = await end_operation(run, job, error, job.estimated_usd)
        again = " The next run tries it once more." if ended.state is JobState.PLANNED else ""
        return "lost" if ended.state is JobState.EXPIRED else "ended", f"{error.kind}: {error}{again}"
    what = f"the video of {job.operation}, {result.sha256}"
    job = await persist(run, lambda: run.resources.ledger.record_result(job.key, result), what)
    return await _from_anywhere(run, job, None)


async def _again(run: RunContext, one: Missing) -> tuple[How, str]:
    """Put a stored job's file back where it belongs."""
    return await _from_anywhere(run, one.job, one.file)


async def _from_anywhere(run: RunContext, job: Job, file: Asset | None) -> tuple[How, str]:
    """Store the job's bytes in the archive again.

    They come from the spool, another copy in the archive, or the provider once more.
    """
    try:
        asset = await _deposit(run, job, file)
        return "fetched", f"Stored as {asset.uri}."
    except ArchiveLost as lost:
        if job.operation is None:
            raise
        try:
            again = await fetch_video(run, job, job.spent_usd)
        except OperationExpired as error:
            raise ArchiveLost(f"{lost} The provider does not have it any more either: {error}") from error
        except ProviderError as error:
            return "failed", f"Its file is gone, and it cannot be fetched again now: {error}"
        if again.sha256 != job.sha256:
            raise ArchiveLost(f"{lost} What the provider has under {job.operation} is another file.") from None
    asset = await _deposit(run, job, file)
    return "fetched", f"Fetched again from the provider; stored as {asset.uri}."


async def _deposit(run: RunContext, job: Job, file: Asset | None) -> Asset:
    if file is not None:
        return await deposit_result(run, file.shot, PaidFile(file.kind, job, file.name, file.parent))
    kind: AssetKind = "take" if job.kind == "image" else "clip"
    slots = [want.slot for want in await run.resources.ledger.wants_of(job.batch) if want.shot == job.shot]
    return await deposit_result(run, job.shot, PaidFile(kind, job, name_of(job, slots), parent_of(job)))


def name_of(job: Job, slots: Sequence[str]) -> str:
    """Return the name of a job's file in its shot's folder, as a run would give it.

    `slots` are those the shot wants.

    A clip carries its take's number when its shot has several clips.
    """
    if job.kind == "image":
        number = job.slot.partition("-")[2]
        return layout.take_name(int(number) if number else 1, job.sha256 or "", job.mime_type or "")
    several = len({read_clip_slot(slot).take for slot in slots if slot.startswith("clip")}) > 1
    place = read_clip_slot(job.slot)
    take = place.take if several else None
    return layout.clip_name(job.sha256 or "", job.mime_type or "", take=take, variant=place.variant)


def parent_of(job: Job) -> str | None:
    """Return the hash of the take or clip that a clip or an edit was made of.

    None for another picture, and for a clip made of text alone.
    """
    inputs = job.request.get("inputs")
    is_edit = EDIT_OF in job.request if job.kind == "image" else bool({EXTEND, EDIT} & job.request.keys())
    framed = is_edit or (job.kind == "video" and job.request.get("take") is not None and bool(inputs))
    return str(inputs[0]) if framed and inputs else None


log = logging.getLogger(__name__)

# Live first: there the money is real.
MODES: tuple[Mode, ...] = ("live", "rehearsal")


@dataclass(frozen=True, slots=True)
class RecoveredFiles:
    """What is missing, most urgent first, and the batches of the ledger by name."""

    missing: tuple[Missing, ...]
    batches: Mapping[str, Batch]

    def of(self, mode: Mode) -> list[Missing]:
        """Return what is missing in the batches of one mode."""
        return [one for one in self.missing if self.batches[one.batch].mode == mode]


async def find_missing(settings: Settings, batch: str | None = None) -> RecoveredFiles:
    """Return what is paid for and not in the archive, in every batch or for one.

    Asks no provider.

    SettingsError when the ledger has no batch of that name.
    """
    async with open_records(settings) as (ledger, store):
        batches = {row.batch.name: row.batch for row in await ledger.batches()}
        if batch is not None:
            await ledger.batch_named(batch)
        missing = await missing_in(ledger, store, batches)
        if batch is not None:
            # What the batch wants may have been ordered by another one first.
            wanted = {want.job_key for want in await ledger.wants_of(batch)}
            missing = [one for one in missing if one.batch == batch or (not one.file and one.job.key in wanted)]
    return RecoveredFiles(tuple(missing), batches)


def check_mode(found: RecoveredFiles, mode: Mode, batch: str | None) -> None:
    """SettingsError when the one batch that was named is of the other mode."""
    if batch is not None and found.batches[batch].mode != mode:
        other = "live" if mode == "rehearsal" else "a rehearsal"
        raise SettingsError(f"Batch {batch!r} is {other}: ask for it with live={mode == 'rehearsal'}.")


async def recover_all(settings: Settings, batch: str | None = None) -> list[Recovered]:
    """Fetch whatever is missing in every batch, or for one, in both modes.

    What cannot be had is told, not raised.
    """
    found = await find_missing(settings, batch)
    return [one for mode in MODES for one in await _of_mode(settings, mode, found.of(mode), found.batches)]


async def _of_mode(
    settings: Settings, mode: Mode, missing: Sequence[Missing], batches: Mapping[str, Batch]
) -> list[Recovered]:
    if not missing:
        return []
    try:
        async with open_for(to_recover(batches[missing[0].batch], settings), settings) as run:
            return await recover(run, missing, batches)
    except CallsheetError as error:
        log.debug("The recovery of the %s batches stopped", mode, exc_info=True)
        return [
            one.conclude(one.unreached(), f"The {mode} batches cannot be looked after now: {error}") for one in missing
        ]
