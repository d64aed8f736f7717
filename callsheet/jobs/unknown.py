"""Evidence for a job in doubt: when it is certain what became of its last attempt, the job is decided by that."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime

from callsheet.context.context import RunContext
from callsheet.errors import NotAccepted, Unknown
from callsheet.jobs.replies import count_paid_tries, judge_kept
from callsheet.ledger import Job, JobOrder, JobState, Ledger
from callsheet.providers.output_bucket import SubmissionEvidence
from callsheet.providers.retry_policy import RetryDecision, decide_retry


async def look_for_evidence(run: RunContext, order: JobOrder, job: Job) -> Job:
    """Return a job in doubt, decided when it is certain what became of its last attempt; else still unknown.

    A reply that was kept is read first: that is free and needs nobody.

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
    by = "evidence: accepted, its reply lost" if evidence.accepted else "evidence: never accepted"
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
