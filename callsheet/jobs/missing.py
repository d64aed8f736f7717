"""What is paid for and not in the archive, and evidence for a job in doubt.

The missing is found from the ledger and the archive's listing. A job in doubt is decided when it is certain what became
of its last attempt.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Literal

from callsheet.archive import layout
from callsheet.archive.store import Store
from callsheet.context.context import RunContext
from callsheet.errors import ArchiveError, NotAccepted, Unknown
from callsheet.exit_codes import ExitCode, first_of
from callsheet.jobs.replies import count_paid_tries, judge_kept
from callsheet.ledger import Job, JobOrder, JobState, Ledger
from callsheet.ledger.records import RETENTION, is_worth_a_look
from callsheet.providers.output_bucket import SubmissionEvidence
from callsheet.providers.retry_policy import RetryDecision, decide_retry
from callsheet.shots import Asset, Batch

log = logging.getLogger(__name__)

# fetched: in the archive now. running: not done yet. held: another process works on it. withheld: made, and not given
# now; it is still submitted. ended: over, without a video. doubt: nobody knows whether it was accepted. failed: could
# not be fetched now. lost: cannot be had any more.
How = Literal["fetched", "running", "held", "withheld", "ended", "doubt", "failed", "lost"]
_CODE_OF: dict[How, ExitCode] = {
    "fetched": ExitCode.DONE,
    "running": ExitCode.PARKED,
    "held": ExitCode.PARKED,
    "withheld": ExitCode.PARKED,
    "doubt": ExitCode.WAITING,
    "ended": ExitCode.UNFINISHED,
    "failed": ExitCode.UNFINISHED,
    "lost": ExitCode.UNFINISHED,
}
# Who decides about an attempt of which it is certain that it was not accepted.
NEVER_ACCEPTED = "evidence: never accepted"


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of one job, and why."""

    key: str
    batch: str
    shot: str
    slot: str
    how: How
    reason: str

    def as_json(self) -> dict[str, str]:
        """As `callsheet recover --json` prints it, and as a task gives it back."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Missing:
    """A paid job whose file is not in the archive as it should be.

    `file` is on record but gone from its place.
    """

    job: Job
    file: Asset | None = None

    @property
    def batch(self) -> str:
        """Return the name of the batch in whose folder it is missing."""
        return (self.file or self.job).batch

    @property
    def expires(self) -> datetime:
        """Return when the provider may forget it.

        What is not known to be there at all comes with the youngest.
        """
        return (self.job.submitted_at or self.job.updated) + RETENTION

    def unreached(self, state: JobState | None = None) -> How:
        """Return what it means that it could not be looked for now.

        What is still submitted stays with the provider.
        """
        return "withheld" if (state or self.job.state) is JobState.SUBMITTED else "failed"

    def conclude(self, how: How, reason: str) -> Recovered:
        """Return what became of it."""
        place = self.file or self.job
        return Recovered(self.job.key, place.batch, place.shot, self.job.slot, how, reason)


def exit_code(found: Iterable[Recovered]) -> int:
    """Return 0 when nothing is left behind, else 3, 4 or 5.

    4 while some run, 5 for a person, 3 when something is lost or over.
    """
    return int(first_of(_CODE_OF[one.how] for one in found))


async def missing_in(ledger: Ledger, store: Store, batches: Mapping[str, Batch]) -> list[Missing]:
    """Return what of these batches is paid for and not archived, most urgent first.

    A batch whose folder cannot be listed now counts as whole: what is under way at the provider must not wait for that.
    """
    files = {name: await _list_files(store, batch) for name, batch in batches.items()}
    stored = {job.key: job for job in await ledger.find_stored()}
    on_record = [file for file in await ledger.find_paid_files() if file.job_key in stored]
    nowhere = stored.keys() - {file.job_key for file in on_record}
    found = [
        *(Missing(job) for job in await ledger.under_way()),
        *(Missing(job) for job in await ledger.expired() if is_worth_a_look(job)),
        *(
            Missing(stored[file.job_key or ""], file)
            for file in on_record
            if not _is_there(file, files.get(file.batch))
        ),
        *(Missing(stored[key]) for key in nowhere),
    ]
    return sorted((one for one in found if one.batch in batches), key=lambda one: (one.expires, one.job.key))


async def _list_files(store: Store, batch: Batch) -> frozenset[str] | None:
    try:
        names = await store.list(f"{batch.prefix}/")
    except ArchiveError as error:
        log.warning("The files of %s cannot be listed, so none of them is looked for: %s", batch.name, error)
        return None
    return frozenset(name.removeprefix(f"{batch.prefix}/") for name in names)


def _is_there(file: Asset, files: frozenset[str] | None) -> bool:
    return files is None or f"shots/{layout.folder_name(file.shot)}/{file.name}" in files


async def look_for_evidence(run: RunContext, order: JobOrder, job: Job) -> Job:
    """Decide a job in doubt when it is certain what became of its last attempt.

    Else it is returned, still unknown. A reply that was kept is read first: that is free and needs nobody.

    When nothing was found in the attempt's own bucket prefix, the reason of the job that is returned (not the
    ledger's) says so. Raises Unreachable when whoever could tell does not answer.
    """
    last = (await run.resources.ledger.attempts_on(order.key))[-1]
    job = await judge_kept(run, order, job, last)
    if job.state is not JobState.UNKNOWN:
        return job
    evidence = await run.resources.providers.evidence_of(order.model, order.key, job.attempts, last.output)
    if evidence is not None:
        return await decide_by(run.resources.ledger, order.key, evidence)
    prefix = run.resources.providers.output_uri(order.model, order.key, job.attempts, last.output)
    if prefix is None:
        return job
    longest_s = run.resources.catalogue.get(order.model).latency_s.max
    found = nothing_under(prefix, sent=last.at, now=run.resources.clock.now(), longest_s=longest_s)
    return replace(job, reason=f"{job.reason} {found}".strip())


async def decide_by(ledger: Ledger, key: str, evidence: SubmissionEvidence) -> Job:
    """Return the job after the only decision that the evidence leaves.

    Never accepted: planned again, for nothing. An accepted video: adopted. An accepted picture, whose bytes were lost
    with the reply: planned again, and what it cost counts as spent.
    """
    if evidence.operation is not None:
        return await ledger.resolve(key, "adopt", evidence.operation, by="evidence: accepted")
    by = "evidence: accepted, its reply lost" if evidence.accepted else NEVER_ACCEPTED
    return await ledger.resolve(key, "resubmit", by=by, usd=evidence.charged_usd)


def nothing_under(prefix: str, *, sent: datetime, now: datetime, longest_s: float) -> str:
    """Judge that nothing lies under an attempt's output prefix.

    A video takes up to `longest_s` seconds.
    """
    passed_s = max(0.0, (now - sent).total_seconds())
    found = f"Nothing is under {prefix} {passed_s:.0f} s after it was sent, and it takes up to {longest_s:.0f} s"
    return f"{found}: it was hardly accepted." if passed_s > longest_s else f"{found}: look again later."


log = logging.getLogger(__name__)


async def settle_unknown(run: RunContext, order: JobOrder, job: Job) -> Job:
    """Return the job after what can be decided without a person.

    Planned again, submitted (adopted), or still unknown.

    Certain knowledge decides first, the kept reply before all. Without it a picture is sent once
    more, counted twice, and a video is held. A free run sends nothing, and so leaves both as they are.
    """
    try:
        job = await look_for_evidence(run, order, job)
    except NotAccepted as error:
        log.warning("Job %s of shot %s stays in doubt for now: %s", job.key[:12], order.shot, error)
        return job
    if job.state is not JobState.UNKNOWN or run.policy.free:
        return job
    lost = count_paid_tries(await run.resources.ledger.attempts_on(order.key))
    if decide_retry(order.kind, Unknown(job.reason), lost - 1) is not RetryDecision.AGAIN:
        return job
    return await run.resources.ledger.resolve(order.key, "resubmit", by="the rule of one more try for a picture")
