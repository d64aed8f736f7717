"""The log of paid requests: a line for each, and one for the end of a video.

No prompt is in it, and no address. The values are fields of the record as well, for logs that programs read, and told
to telemetry, which counts more: money, retries, waiting.
"""

from __future__ import annotations

import logging
from decimal import Decimal

from callsheet.errors import Parked, ProviderError, Unknown
from callsheet.ledger import Attempt, Job, JobOrder, JobState
from callsheet.telemetry import tell

log = logging.getLogger(__name__)

_NOUNS = {"image": "picture", "video": "video", "look": "look"}


def log_answer(
    order: JobOrder, attempt: Attempt, outcome: Job | ProviderError, seconds: float, earlier_usd: Decimal = Decimal(0)
) -> None:
    """Log what came of a paid request, `seconds` after it was sent.

    `earlier_usd` is what the job's attempts before this one have cost.
    """
    fields = _fields_of(order, attempt.model) | {"attempt": attempt.n, "seconds": round(seconds, 2)}
    if attempt.request_id:
        fields["request_id"] = attempt.request_id
    noun, ids = _NOUNS[order.kind], f" (request {attempt.request_id})" if attempt.request_id else ""
    if isinstance(outcome, ProviderError):
        # Its text may quote the prompt: that is in the ledger alone.
        fields |= {"event": "in doubt" if isinstance(outcome, Unknown) else "refused", "error": outcome.kind}
        code = " ".join(str(one) for one in (outcome.status, outcome.reason) if one)
        told = f"no {noun} by {attempt.model} after {seconds:.1f} s: {outcome.kind}{f' ({code[:100]})' if code else ''}"
        told += "; it may have been accepted" if isinstance(outcome, Unknown) else ""
    elif outcome.state is JobState.SUBMITTED:
        fields |= {"event": "submitted", "operation": outcome.operation, "usd_held": float(attempt.estimate)}
        told = f"{noun} submitted to {attempt.model} in {seconds:.1f} s, up to {_usd(order, attempt.estimate)}"
        ids = f" ({outcome.operation})"
    else:
        usd = outcome.spent_usd - earlier_usd
        fields |= {"event": "made", "usd": float(usd)}
        told = f"{noun} by {attempt.model} in {seconds:.1f} s, {_usd(order, usd)}"
    log.info("%s %s: %s%s", order.shot, order.slot, told, ids, extra={"fields": fields})
    tell("request", fields)


def log_end(order: JobOrder, job: Job) -> None:
    """Log that the operation of a video has ended, with what it cost."""
    waited = (job.finished_at - job.submitted_at).total_seconds() if job.finished_at and job.submitted_at else 0.0
    fields = _fields_of(order, job.model) | {"operation": job.operation, "usd": float(job.spent_usd)}
    fields |= {"event": "made" if job.sha256 else job.state.value, "seconds": round(waited, 2)}
    what = f"video by {job.model} {'made' if job.sha256 else job.state.value} {waited:.0f} s after it was submitted"
    cost = _usd(order, job.spent_usd)
    log.info("%s %s: %s, %s (%s)", order.shot, order.slot, what, cost, job.operation, extra={"fields": fields})
    tell("operation", fields)


def count_sent(order: JobOrder, attempt: Attempt, age_s: float) -> None:
    """Count the seconds from a job planned to its first request."""
    if attempt.n == 1:
        tell("sent", _fields_of(order, attempt.model) | {"seconds": max(0.0, age_s)})


def count_retry(order: JobOrder, error: ProviderError) -> None:
    """Count that a request is made once more after this error."""
    tell("retried", _fields_of(order, order.model) | {"error": error.kind})


def count_wait(order: JobOrder, seconds: float) -> None:
    """Count that a request waits until its quota has room."""
    tell("waited", _fields_of(order, order.model) | {"seconds": max(0.0, seconds)})


def count_parked(order: JobOrder, why: Parked) -> None:
    """Count that a job is put off to a later run."""
    tell("parked", _fields_of(order, order.model) | {"error": type(why).__name__})


def count_spent(order: JobOrder, before: Job, after: Job) -> Job:
    """Count what the ledger has booked for a job since `before`.

    Returns the job as it is now.
    """
    if usd := after.spent_usd - before.spent_usd:
        tell("booked", _fields_of(order, after.model) | {"usd": float(usd)})
    return after


def _fields_of(order: JobOrder, model: str) -> dict[str, object]:
    return {
        "batch": order.batch, "shot": order.shot, "slot": order.slot, "kind": order.kind, "model": model,
        "mode": order.mode, "job": order.key,
    }  # fmt: skip


def _usd(order: JobOrder, usd: object) -> str:
    return f"${usd:.4f}{' at list price' if order.mode == 'rehearsal' else ''}"
