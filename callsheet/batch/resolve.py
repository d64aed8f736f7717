"""Requests in doubt, as a person sees them.

Everything that is known, what evidence says now, and the decisions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Literal

from callsheet.batch.open import open_for, to_look
from callsheet.context.context import Resources
from callsheet.context.poller import ENDS
from callsheet.errors import CallsheetError, OperationExpired, SettingsError
from callsheet.jobs.missing import decide_by, nothing_under
from callsheet.keys import labels_of
from callsheet.ledger import AttemptRecord, Job, JobState, Ledger
from callsheet.models import load_catalogue
from callsheet.providers.operations import adoptable
from callsheet.providers.outcomes import read_picture
from callsheet.providers.output_bucket import SubmissionEvidence
from callsheet.providers.reply_spool import KeptReplies
from callsheet.settings import Settings

Choice = Literal["resubmit", "adopt", "drop", "by-evidence", "reopen", "bill"]
TAKEN_FOR_FREE = (
    "Its reply is kept and holds the whole picture: `callsheet recover`, or the next run, takes it for free."
)


@dataclass(frozen=True, slots=True)
class UnknownRequest:
    """One request in doubt, or failed with part of a picture as evidence.

    In doubt is what may or may not have been accepted. `kept` are the files of its replies as they came, `has_picture`
    tells that the last of them holds a whole one. `labels` and `prefix` are what its last attempt carries where the
    provider takes them: to search for in its console and bucket. `found` says in a sentence what evidence says now, ""
    when it was not looked for.
    """

    job: Job
    attempts: tuple[AttemptRecord, ...]
    labels: tuple[tuple[str, str], ...] = ()
    prefix: str | None = None
    evidence: SubmissionEvidence | None = None
    found: str = ""
    kept: tuple[Path, ...] = ()
    has_picture: bool = False


@dataclass(frozen=True, slots=True)
class PersonDecision:
    """What a person decides about requests in doubt: the choice, and who made it.

    `operation` is the one to adopt. `usd` is what the bill says that the doubt about each job cost, None when nobody
    looked. "bill" is about requests that were decided before anybody did.
    """

    choice: Choice
    by: str
    operation: str | None = None
    usd: Decimal | None = None


async def choose_jobs(ledger: Ledger, keys: Sequence[str], batch: str | None, *, every: bool = False) -> list[Job]:
    """Return the jobs in doubt whose keys begin like `keys` (all when empty).

    They are those of one batch, or of any. Those that failed with part of a picture are among them when they are named,
    or nothing is to be decided; a decision about `every` one is not about them. SettingsError when a beginning names no
    job or several, when a job is not in doubt, or there is no such batch.
    """
    jobs = await ledger.unresolved()
    jobs += [] if every else await ledger.find_kept_parts()
    if batch is not None:
        await ledger.batch_named(batch)
        wanted = {want.job_key for want in await ledger.wants_of(batch)}
        jobs = [job for job in jobs if job.batch == batch or job.key in wanted]
    if not keys:
        return jobs
    return list({job.key: job for key in keys for job in [await _one(ledger, jobs, key)]}.values())


async def unbilled_jobs(ledger: Ledger, keys: Sequence[str], batch: str | None) -> list[Job]:
    """Find the decided jobs of whose cost only the bill tells.

    Their keys begin like `keys` (all when empty), in one batch or any.

    SettingsError when a beginning names no such job.
    """
    jobs = [job for job in await ledger.jobs_with_doubts() if batch in (None, job.batch)]
    for key in keys:
        if not any(key and job.key.startswith(key) for job in jobs):
            raise SettingsError(
                f"What the jobs whose keys begin with {key!r} cost is not in doubt. Nothing was changed. While a "
                "request waits for a decision, --usd goes with --resubmit or --drop."
            )
    return [job for job in jobs if not keys or any(job.key.startswith(key) for key in keys)]


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
    for mode in dict.fromkeys(job.mode for job in jobs):
        mine = [await _with_reply(ledger, kept, job) for job in jobs if job.mode == mode]
        try:
            async with open_for(to_look(mine[0].job, settings, asks_provider=look), settings) as run:
                for doubt in mine:
                    seen[doubt.job.key] = await _look_at(run.resources, doubt, look)
        except CallsheetError as error:
            seen |= {one.job.key: replace(one, found=_not_looked(error)) for one in mine}
    return [seen[job.key] for job in jobs]


async def _with_reply(ledger: Ledger, kept: KeptReplies, job: Job) -> UnknownRequest:
    """Return the job with its attempts, and what the last kept reply holds."""
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


async def _look_at(resources: Resources, doubt: UnknownRequest, look: bool) -> UnknownRequest:
    job, n, providers = doubt.job, doubt.job.attempts, resources.providers
    if doubt.has_picture or job.state is JobState.FAILED:
        return doubt
    try:
        last = doubt.attempts[-1] if doubt.attempts else None
        labels = labels_of(job.key, n) if providers.of_attempt(last).takes_labels(job.model) else ()
        root = last.output if last else None
        prefix = providers.output_uri(job.model, job.key, n, root)
        evidence = await providers.evidence_of(job.model, job.key, n, root) if look else None
    except CallsheetError as error:
        return replace(doubt, found=_not_looked(error))
    found = doubt.found or (describe_evidence(evidence, labels) if look else "")
    if look and evidence is None and prefix is not None:
        longest_s = resources.catalogue.get(job.model).latency_s.max
        found = nothing_under(prefix, sent=doubt.attempts[-1].at, now=resources.clock.now(), longest_s=longest_s)
    return replace(doubt, labels=labels, prefix=prefix, evidence=evidence, found=found)


def describe_evidence(evidence: SubmissionEvidence | None, labels: tuple[tuple[str, str], ...] = ()) -> str:
    """Return what the evidence says, as a sentence.

    Without any, which label a person may look for in the provider's logs.
    """
    if evidence is None:
        told = "Nobody can tell from here whether it was accepted: the provider keeps no list of requests."
        where = "in the logs of AI Studio (aistudio.google.com/logs), or of the project on Agent Platform"
        return f"{told} Look {where} for the label {labels[0][0]}={labels[0][1]}." if labels else told
    if not evidence.accepted:
        return "It was never accepted, and nothing was charged."
    if evidence.operation is not None:
        return f"It was accepted as {evidence.operation}."
    return f"It was accepted and charged ({evidence.charged_usd or 0:.4f} USD); the picture was lost with the reply."


def _not_looked(error: CallsheetError) -> str:
    return f"It could not be looked for: {error}"


async def decide(ledger: Ledger, doubt: UnknownRequest, made: PersonDecision) -> Job | None:
    """Carry out a decision.

    The job as it is now, None when there is no evidence to decide by.

    What evidence knows of the money is what counts as spent, or what the person read in the bill; else all that may
    have been charged.
    """
    key, evidence, choice, by = doubt.job.key, doubt.evidence, made.choice, made.by
    if choice == "reopen":
        return await ledger.look_again(key)
    if choice == "bill":
        return await ledger.enter_bill(key, made.usd or Decimal(0), by)
    if doubt.has_picture and choice == "resubmit":
        raise SettingsError(f"Job {key[:16]} of shot {doubt.job.shot}: {TAKEN_FOR_FREE} Nothing was changed for it.")
    if doubt.job.state is JobState.FAILED:
        return await ledger.reopen(key, f"resubmit by {by}: {doubt.job.reason}") if choice == "resubmit" else None
    if choice == "by-evidence":
        return await decide_by(ledger, key, evidence) if evidence is not None else None
    if choice == "adopt":
        return await ledger.resolve(key, "adopt", made.operation, by=by)
    if choice == "resubmit" and evidence is not None and evidence.operation is not None:
        raise SettingsError(
            f"Job {key[:16]} of shot {doubt.job.shot} was accepted as {evidence.operation}: sending it again would pay "
            f"twice. Adopt it: callsheet resolve {key[:16]} --adopt {evidence.operation} (or add --no-look to send it "
            "again all the same). Nothing was changed for it."
        )
    known = evidence.charged_usd if evidence is not None and evidence.operation is None else None
    return await ledger.resolve(key, choice, by=by, usd=made.usd if known is None else known)


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
            f"--adopt needs the name of an operation (models/MODEL/operations/abc123, v1_abc123), or the gs:// object "
            f"that it wrote: {error}. Nothing was changed."
        ) from None
    model = load_catalogue(settings.catalogue).get(job.model)
    if name.startswith("gs://") and "agent_platform" not in model.platforms:
        raise SettingsError(
            f"{job.model} is not on Agent Platform, so it wrote no {name}: give its operation. Nothing was changed."
        )
    return await _check_known(settings, job, name) if look else ""


async def _check_known(settings: Settings, job: Job, name: str) -> str:
    try:
        async with open_for(to_look(job, settings), settings) as run:
            attempts = await run.resources.ledger.attempts_on(job.key)
            providers = run.resources.providers.of_attempt(attempts[-1] if attempts else None, name)
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
