"""Cancelling what is under way at a provider: asked to stop, looked at, recorded.

What was finished by then is fetched and kept. What is cancelled has failed for good: only a person has it sent again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from callsheet.batch.open import open_for, open_records, to_recover
from callsheet.batch.recover import recover
from callsheet.concurrency import gather_all
from callsheet.context.context import RunContext
from callsheet.errors import CallsheetError, OperationCancelled, ProviderError, SettingsError
from callsheet.exit_codes import ExitCode, first_of
from callsheet.jobs.missing import Missing
from callsheet.ledger import Job, JobState
from callsheet.models import Catalogue, load_catalogue
from callsheet.providers.protocol import CancellingProvider
from callsheet.settings import Settings
from callsheet.shots import Batch

# cancelled: stopped, and failed for good. finished: its video was there before, and is in the archive. ended: over
# without a video, by itself. going: it cannot be cancelled. running: asked to stop, and not over yet. unreached: the
# provider could not be asked.
How = Literal["cancelled", "finished", "ended", "going", "running", "unreached"]
_CODE_OF: dict[How, ExitCode] = {
    "cancelled": ExitCode.DONE,
    "finished": ExitCode.DONE,
    "ended": ExitCode.DONE,
    "going": ExitCode.UNFINISHED,
    "running": ExitCode.PARKED,
    "unreached": ExitCode.PARKED,
}
# Looks at what was asked to stop, and seconds of the clock between two of them.
_LOOKS, _PAUSE_S = 5, 2.0
# google-genai 3.6.1 gets operations and has no method that cancels one (its operations.py, read 2026-12-01).
_NO_CANCEL = (
    "Google's SDK has no cancel for operations of this model: it goes on, is paid for, and is fetched by the "
    "next run. To leave it out, take its shot out of the sheet."
)
_ENDED = (JobState.FAILED, JobState.BLOCKED, JobState.EXPIRED, JobState.PLANNED)


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What became of one operation that was to be cancelled, and why."""

    job: Job
    how: How
    reason: str

    def as_json(self) -> dict[str, object]:
        """Return it as `callsheet cancel --json` prints it."""
        job = self.job
        shown = {"key": job.key, "shot": job.shot, "slot": job.slot, "model": job.model, "operation": job.operation}
        return {**shown, "usd": float(job.estimated_usd), "how": self.how, "reason": self.reason}


def exit_code_of(found: Sequence[Cancellation]) -> ExitCode:
    """Return 0 when all is over, 4 while some may still end, 3 when some go on."""
    return first_of(_CODE_OF[one.how] for one in found)


async def find_operations(settings: Settings, name: str, only: Collection[str]) -> tuple[Batch, list[Job]]:
    """Return the batch of this name, and its jobs that are under way at a provider.

    `only` are shots to which that is kept. SettingsError when there is no such batch, or no such shot in it.
    """
    async with open_records(settings) as (ledger, _):
        batch = (await ledger.batch_named(name)).batch
        shots = {row.shot for row in await ledger.shots_of(name)}
        if unknown := sorted(set(only) - shots):
            raise SettingsError(f"Batch {name!r} has no shot {', '.join(unknown)[:200]}. Nothing was cancelled.")
        wanted = {want.job_key for want in await ledger.wants_of(name) if not only or want.shot in only}
        jobs = [job for job in await ledger.under_way() if job.key in wanted]
    return batch, [job for job in jobs if job.state is JobState.SUBMITTED and job.operation]


def can_be_cancelled(job: Job, catalogue: Catalogue) -> bool:
    """Return whether the provider of a job's model can be asked to stop it."""
    model = catalogue.find(job.model)
    return model is not None and model.surface == "interactions" and not str(job.operation).startswith("gs://")


async def cancel_operations(settings: Settings, batch: Batch, jobs: Sequence[Job]) -> list[Cancellation]:
    """Have the provider stop these jobs, side by side, and record what became of each.

    SettingsError, with nothing asked, when no credentials lead to the provider.
    """
    catalogue = load_catalogue(settings.catalogue)
    async with open_records(settings) as (ledger, _):
        others = await ledger.others_wanting(batch.name, [job.key for job in jobs])
    left = [Cancellation(job, "going", _tell_wanted(others[job.key])) for job in jobs if job.key in others]
    mine = [job for job in jobs if job.key not in others]
    left += [Cancellation(job, "going", _NO_CANCEL) for job in mine if not can_be_cancelled(job, catalogue)]
    stoppable = [job for job in mine if can_be_cancelled(job, catalogue)]
    if not stoppable:
        return left
    async with open_for(to_recover(batch, settings), settings) as run:
        return [*await gather_all(_cancel(run, job) for job in stoppable), *left]


def _tell_wanted(others: Sequence[str]) -> str:
    """Say why a job is not stopped that other batches want: it would fail there too."""
    names, verb = ", ".join(others)[:300], "wants" if len(others) == 1 else "want"
    return (
        f"{names} {verb} it too, so it goes on and is paid for once. To stop it, take its shot out of that sheet and "
        "run it, then cancel again."
    )


async def _cancel(run: RunContext, job: Job) -> Cancellation:
    try:
        provider = run.resources.providers.videos_for(job.model)
        assert isinstance(provider, CancellingProvider)  # noqa: S101  narrows the type: `can_be_cancelled`
        trouble = await _ask_to_stop(run, provider, job)
        for look in range(_LOOKS):
            if look:
                await run.rest(_PAUSE_S)
            found = await _look(run, job)
            if found.how != "running" or trouble:
                break
    except CallsheetError as error:
        return Cancellation(job, "unreached", str(error))
    return Cancellation(job, "unreached", trouble) if found.how == "running" and trouble else found


async def _ask_to_stop(run: RunContext, provider: CancellingProvider, job: Job) -> str:
    """Ask the provider to stop a job; return what went wrong with that.

    "" for nothing. Asking again is free, and changes nothing about what has ended.
    """
    trouble = ""
    for tried in range(3):
        if tried:
            await run.rest(_PAUSE_S)
        try:
            await provider.cancel(str(job.operation))
        except ProviderError as error:
            trouble = f"It could not be asked to stop: {error} Run the same command again."
        else:
            return ""
    return trouble


async def _look(run: RunContext, job: Job) -> Cancellation:
    """Look at an operation once, and record what became of it as `recover` does."""
    (looked,) = await recover(run, [Missing(job)], {job.batch: Batch.parse(job.batch) or run.batch})
    now = (await run.resources.ledger.jobs([job.key])).get(job.key, job)
    if now.state is JobState.STORED:
        return Cancellation(now, "finished", looked.reason)
    if now.reason_kind == OperationCancelled.__name__:
        return Cancellation(now, "cancelled", now.reason)
    if now.state in _ENDED:
        return Cancellation(now, "ended", now.reason or looked.reason)
    waits = " A run waits for it, and records its end." if looked.how == "held" else ""
    return Cancellation(now, "running", f"Asked to stop, and not over yet.{waits} `callsheet recover` looks again.")
