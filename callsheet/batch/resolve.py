"""Requests in doubt, as a person sees them: everything that is known, what evidence says now, and the decisions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from callsheet.batch.open import NO_SERVICE, join_rehearsal
from callsheet.clock import Clock
from callsheet.context.poller import ENDS
from callsheet.errors import CallsheetError, OperationExpired, SettingsError
from callsheet.jobs.unknown import decide_by, nothing_under
from callsheet.keys import labels_of
from callsheet.ledger import AttemptRecord, Job, JobState, Ledger
from callsheet.models import Catalogue, load_catalogue
from callsheet.providers import Providers, open_providers
from callsheet.providers.operations import adoptable
from callsheet.providers.outcomes import read_picture
from callsheet.providers.output_bucket import SubmissionEvidence
from callsheet.providers.reply_spool import KeptReplies
from callsheet.settings import Settings
from callsheet.shots import Mode

Choice = Literal["resubmit", "adopt", "drop", "by-evidence", "reopen"]
TAKEN_FOR_FREE = (
    "Its reply is kept and holds the whole picture: `callsheet recover`, or the next run, takes it for free."
)


@dataclass(frozen=True, slots=True)
class UnknownRequest:
    """One request that may or may not have been accepted, or failed with part of a picture as evidence.

    `kept` are the files of its replies as they came, `has_picture` tells that the last of them holds a whole one.
    `labels` and `prefix` are what its last attempt carries where the provider takes them: to search for in its console
    and bucket. `found` says in a sentence what evidence says now, "" when it was not looked for.
    """

    job: Job
    attempts: tuple[AttemptRecord, ...]
    labels: tuple[tuple[str, str], ...] = ()
    prefix: str | None = None
    evidence: SubmissionEvidence | None = None
    found: str = ""
    kept: tuple[Path, ...] = ()
    has_picture: bool = False


async def choose_jobs(ledger: Ledger, keys: Sequence[str], batch: str | None, *, every: bool = False) -> list[Job]:
    """Return the jobs in doubt whose keys begin like `keys` (all when empty), in one batch or any.

    Those that failed with part of a picture are among them when they are named, or nothing is to be decided; a
    decision about `every` one is not about them. SettingsError when a beginning names no job or several, when a job is
    not in doubt, or there is no such batch.
    """
    jobs = await ledger.unresolved()
    jobs += [] if every else await ledger.held_as_evidence()
    if batch is not None:
        await ledger.batch_named(batch)
        wanted = {want.job_key for want in await ledger.wants_of(batch)}
        jobs = [job for job in jobs if job.batch == batch or job.key in wanted]
    if not keys:
        return jobs
    return list({job.key: job for key in keys for job in [await _one(ledger, jobs, key)]}.values())


async def expired_jobs(ledger: Ledger, keys: Sequence[str], batch: str | None) -> list[Job]:
    """Find expired jobs that are to be looked for once more.

    Their keys begin like `keys` (all when empty), in one batch or any.

    SettingsError when a beginning names no such job.
    """
    jobs = [job for job in await ledger.expired() if job.operation and batch in (None, job.batch)]
    for key in keys:
        if not any(key and job.key.startswith(key) for job in jobs):
            raise SettingsError(f"No expired video has a key that begins with {key!r}. Nothing was changed.")
    return [job for job in jobs if not keys or any(job.key.startswith(key) for key in keys)]


async def _one(ledger: Ledger, doubtful: Sequence[Job], key: str) -> Job:
    found = [job for job in doubtful if key and job.key.startswith(key)]
    if len(found) == 1:
        return found[0]
    if found:
        raise SettingsError(f"{len(found)} requests in doubt have a key that begins with {key!r}: give more of it.")
    for row in await ledger.batches():
        for job in await ledger.jobs_of(row.batch.name):
            if key and job.key.startswith(key):
                raise SettingsError(
                    f"Job {job.key[:16]} ({job.batch} / {job.shot} / {job.slot}) is {job.state}, not in doubt: "
                    "there is nothing to decide. Nothing was changed."
                )
    raise SettingsError(f"No request in doubt has a key that begins with {key!r}. `callsheet resolve` lists them.")


async def looked_at(ledger: Ledger, settings: Settings, jobs: Sequence[Job], *, look: bool) -> list[UnknownRequest]:
    """Return everything known of the jobs, in their order.

    With `look`, providers are asked; what fails there is told.
    """
    seen: dict[str, UnknownRequest] = {}
    kept = KeptReplies(settings.home / "spool" / "replies", ledger.identity)
    catalogue = load_catalogue(settings.catalogue)
    for mode in dict.fromkeys(job.mode for job in jobs):
        mine = [await _with_reply(ledger, kept, job) for job in jobs if job.mode == mode]
        try:
            async with _providers(settings, mode, serve=look) as (providers, clock):
                for doubt in mine:
                    seen[doubt.job.key] = await _looked_at(providers, catalogue, clock, doubt, look)
        except CallsheetError as error:
            seen |= {one.job.key: replace(one, found=_not_looked(error)) for one in mine}
    return [seen[job.key] for job in jobs]


async def _with_reply(ledger: Ledger, kept: KeptReplies, job: Job) -> UnknownRequest:
    """Return the job with its attempts, and what the reply to the last of them holds, where it was kept."""
    attempts = tuple(await ledger.attempts_on(job.key))
    files = tuple(kept.of_job(job.key))
    reply = kept.read(job.key, job.attempts) if job.kind == "image" else None
    if reply is None or job.state is not JobState.UNKNOWN:
        return UnknownRequest(job, attempts, kept=files, found=job.reason if job.state is JobState.FAILED else "")
    try:
        await asyncio.to_thread(read_picture, reply)
    except CallsheetError as error:
        return UnknownRequest(job, attempts, kept=files, found=f"Its reply is kept: {error}")
    return UnknownRequest(job, attempts, kept=files, found=TAKEN_FOR_FREE, has_picture=True)


async def _looked_at(
    providers: Providers, catalogue: Catalogue, clock: Clock, doubt: UnknownRequest, look: bool
) -> UnknownRequest:
    job, n = doubt.job, doubt.job.attempts
    if doubt.has_picture or job.state is JobState.FAILED:
        return doubt
    try:
        labels = labels_of(job.key, n) if providers.takes_labels(job.model) else ()
        root = doubt.attempts[-1].output if doubt.attempts else None
        prefix = providers.output_uri(job.model, job.key, n, root)
        evidence = await providers.evidence_of(job.model, job.key, n, root) if look else None
    except CallsheetError as error:
        return replace(doubt, found=_not_looked(error))
    found = doubt.found or (describe_evidence(evidence) if look else "")
    if look and evidence is None and prefix is not None:
        longest_s = catalogue.get(job.model).latency_s.max
        found = nothing_under(prefix, sent=doubt.attempts[-1].at, now=clock.now(), longest_s=longest_s)
    return replace(doubt, labels=labels, prefix=prefix, evidence=evidence, found=found)


def describe_evidence(evidence: SubmissionEvidence | None) -> str:
    """Return what the evidence says, as a sentence."""
    if evidence is None:
        return "Nobody can tell from here whether it was accepted: the provider keeps no list of requests."
    if not evidence.accepted:
        return "It was never accepted, and nothing was charged."
    if evidence.operation is not None:
        return f"It was accepted as {evidence.operation}."
    return f"It was accepted and charged ({evidence.charged_usd or 0:.4f} USD); the picture was lost with the reply."


def _not_looked(error: CallsheetError) -> str:
    return f"It could not be looked for: {error}"


async def decide(ledger: Ledger, doubt: UnknownRequest, choice: Choice, operation: str | None, by: str) -> Job | None:
    """Carry out a decision.

    The job as it is now, None when there is no evidence to decide by.

    What evidence knows of the money is what counts as spent; else all that may have been charged.
    """
    key, evidence = doubt.job.key, doubt.evidence
    if choice == "reopen":
        return await ledger.look_again(key)
    if doubt.has_picture and choice == "resubmit":
        raise SettingsError(f"Job {key[:16]} of shot {doubt.job.shot}: {TAKEN_FOR_FREE} Nothing was changed for it.")
    if doubt.job.state is JobState.FAILED:
        return await ledger.reopen(key, f"resubmit by {by}: {doubt.job.reason}") if choice == "resubmit" else None
    if choice == "by-evidence":
        return await decide_by(ledger, key, evidence) if evidence is not None else None
    if choice == "adopt":
        return await ledger.resolve(key, "adopt", operation, by=by)
    if choice == "resubmit" and evidence is not None and evidence.operation is not None:
        raise SettingsError(
            f"Job {key[:16]} of shot {doubt.job.shot} was accepted as {evidence.operation}: sending it again would pay "
            f"twice. Adopt it: callsheet resolve {key[:16]} --adopt {evidence.operation} (or add --no-look to send it "
            "again all the same). Nothing was changed for it."
        )
    usd = evidence.charged_usd if evidence is not None and evidence.operation is None else None
    return await ledger.resolve(key, choice, by=by, usd=usd)


async def check_adoption(settings: Settings, job: Job, name: str, *, look: bool) -> str:
    """Raise SettingsError when `name` cannot be what this job became.

    Returns what is doubtful about it, or "".

    With `look`, the provider is asked whether it knows the operation (or has the object): that is free.
    """
    if job.kind != "video":
        raise SettingsError(
            f"Job {job.key[:16]} is a picture: it has no operation to adopt. Use --resubmit or --drop. "
            "Nothing was changed."
        )
    try:
        adoptable(name)
    except ValueError as error:
        raise SettingsError(
            f"--adopt needs an operation's name, such as models/{job.model}/operations/abc123, or the gs:// object "
            f"that it wrote: {error}. Nothing was changed."
        ) from None
    model = load_catalogue(settings.catalogue).get(job.model)
    if name.startswith("gs://") and "agent_platform" not in model.platforms:
        raise SettingsError(
            f"{job.model} is not on Agent Platform, so it wrote no {name}: give its operation. Nothing was changed."
        )
    return await _known(settings, job, name) if look else ""


async def _known(settings: Settings, job: Job, name: str) -> str:
    try:
        async with _providers(settings, job.mode, serve=True) as (providers, _):
            ready = await providers.videos_for(job.model).poll(name)
    except OperationExpired as error:
        raise SettingsError(f"The provider does not know {name}: {error} Nothing was changed.") from None
    except ENDS:
        return ""
    except CallsheetError as error:
        return f"Whether the provider knows it could not be checked: {error}"
    if ready is None and name.startswith("gs://"):
        raise SettingsError(f"There is no object {name}. Nothing was changed. List its folder, or add --no-look.")
    return ""


@asynccontextmanager
async def _providers(settings: Settings, mode: Mode, *, serve: bool) -> AsyncIterator[tuple[Providers, Clock]]:
    """Yield the providers of a mode.

    For a rehearsal with its service running when `serve`.
    """
    async with AsyncExitStack() as stack:
        url, clock = None, Clock()
        if mode == "rehearsal":
            url, clock = await join_rehearsal(stack, settings) if serve else (NO_SERVICE, clock)
        opened = open_providers(settings, mode=mode, rehearsal_url=url, catalogue=load_catalogue(settings.catalogue))
        yield await stack.enter_async_context(opened), clock
