"""Evidence for a job in doubt: when it is certain what became of its last attempt, the job is decided by that."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from callsheet.ledger import Job, JobOrder
from callsheet.models import Model
from callsheet.studio import Studio


async def look_for_evidence(studio: Studio, order: JobOrder, job: Job) -> Job:
    """A job in doubt, decided when it is certain what became of its last attempt; else still unknown.

    Never accepted: planned again, for nothing. An accepted video: adopted. An accepted picture, whose bytes were lost
    with the reply: planned again, and what it cost counts as spent. When nothing was found in the attempt's bucket
    prefix, the reason of the job that is returned (not the ledger's) says so. Raises Unreachable when whoever could
    tell does not answer.
    """
    evidence = await studio.providers.evidence_of(order.model, order.key, job.attempts)
    if evidence is None:
        return _with_search(studio, order, job)
    if not evidence.accepted:
        return await studio.ledger.resolve(order.key, "resubmit", by="evidence: never accepted", usd=Decimal(0))
    if evidence.operation is not None:
        return await studio.ledger.resolve(order.key, "adopt", evidence.operation, by="evidence: accepted")
    return await studio.ledger.resolve(
        order.key, "resubmit", by="evidence: accepted, and its reply lost", usd=evidence.charged_usd
    )


def _with_search(studio: Studio, order: JobOrder, job: Job) -> Job:
    prefix = studio.providers.output_uri(order.model, order.key, job.attempts) if order.kind == "video" else None
    if prefix is None:
        return job
    found = nothing_under(prefix, sent=job.updated, now=studio.clock.now(), model=studio.catalogue.get(order.model))
    return replace(job, reason=f"{job.reason} {found}".strip())


def nothing_under(prefix: str, *, sent: datetime, now: datetime, model: Model) -> str:
    """What it means that nothing lies under an attempt's output prefix, `now - sent` after the request."""
    passed_s, longest_s = max(0.0, (now - sent).total_seconds()), model.latency_s.max
    found = f"Nothing is under {prefix} {passed_s:.0f} s after it was sent ({model.id} takes up to {longest_s:.0f} s)"
    if passed_s > longest_s:
        return f"{found}: it was hardly accepted."
    return f"{found}: look again later."
