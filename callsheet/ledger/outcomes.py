"""Outcomes of paid POSTs: the job's row, the attempt's row and the money."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, select, update

from callsheet.errors import LedgerError
from callsheet.ledger.dialect import UtcTime
from callsheet.ledger.job_state import JobState, check
from callsheet.ledger.prepared import change
from callsheet.ledger.records import BILLED, SUBMISSION_ID, AttemptRecord, Decision, Job, JobResult
from callsheet.ledger.rows import (
    OPEN,
    ZERO,
    bounded,
    change_attempt,
    change_job,
    end_attempt,
    move_job,
    read_attempt,
    read_job,
    with_submission_id,
)
from callsheet.ledger.tables import assets, attempts, shots, wants
from callsheet.shots import ShotOutcome

log = logging.getLogger(__name__)

#: The kind of the reason of a job that is to be made again.
REOPENED = "Reopened"
#: Removes the rows of the files that a job had given.
FORGET_FILES = delete(assets).where(assets.c.job_key == bindparam("job"))
_DOUBTS = select(attempts).where(attempts.c.job_key == bindparam("job"), attempts.c.doubt_usd > ZERO)
_TELL_ANEW = (
    update(shots)
    .where(
        shots.c.state == ShotOutcome.DONE,
        exists().where(
            wants.c.batch == shots.c.batch, wants.c.shot == shots.c.shot, wants.c.job_key == bindparam("job")
        ),
    )
    .values(state=ShotOutcome.PENDING, updated=bindparam("now", type_=UtcTime))
)
_NO_RESULT: dict[str, Any] = dict.fromkeys(
    ("sha256", "md5", "size", "mime_type", "width", "height", "duration_s", "details", "finished_at")
)


@dataclass(frozen=True, slots=True)
class Reason:
    """The reason why an attempt gave nothing.

    `kind` is the error's class, `text` its message, `code` the provider's own code, `status` the HTTP status. `details`
    is what the provider said, None for what is not kept.
    """

    kind: str
    text: str
    code: str = ""
    status: int | None = None
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """The end of an attempt without an asset: the job's new state, and why.

    `usd` is what it cost. None: nothing, but for UNKNOWN, where the reserved money stays reserved until it is resolved.
    `doubt` is what of it is not known to have been charged.
    """

    state: JobState
    reason: Reason
    usd: Decimal | None = None
    doubt: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Resolution:
    """A decision about an unknown job, and who made it.

    `by` is "" when that is not known. `operation` is the one to adopt; `usd` is what the attempt cost, None when that
    is not known. `request_id` is the provider's, of the submission that is adopted.
    """

    decision: Decision
    operation: str | None = None
    usd: Decimal | None = None
    by: str = ""
    request_id: str = ""


def finish(connection: Connection, now: datetime, key: str, result: JobResult, n: int | None) -> Job:
    """Record the bytes and the price.

    A second result for the job is paid for as well, but the first one stays.
    """
    job = read_job(connection, key)
    record = read_attempt(connection, key, n or job.attempts)
    paid = end_attempt(connection, record, now, JobState.FINISHED, usd=result.usd)
    if job.state in (JobState.FINISHED, JobState.STORED):
        if job.sha256 != result.sha256:
            log.warning("Job %s was answered twice; the first result stays, both are counted", key[:12])
        return change_job(connection, job, now, spent_usd=job.spent_usd + paid)
    if job.state is JobState.UNKNOWN and record.n != job.attempts:
        paid += _give_up_doubt(connection, job, now)
    return move_job(
        connection, job, JobState.FINISHED, now,
        sha256=result.sha256, md5=result.md5, size=result.size, mime_type=result.mime_type, width=result.width,
        height=result.height, duration_s=result.duration_s, details=_submission_of(job) | dict(result.details),
        finished_at=now,
        spent_usd=job.spent_usd + paid, reason_kind="", reason="", reason_code="", parked_until=None,
    )  # fmt: skip


def _give_up_doubt(connection: Connection, job: Job, now: datetime) -> Decimal:
    """Count the newest attempt as spent, in doubt: an earlier one gave the result.

    Nobody decides about it any more. Returns what was spent more (USD).
    """
    newest = read_attempt(connection, job.key, job.attempts)
    most = max(newest.reserved_usd, newest.usd)
    why = f"{newest.detail} [an earlier attempt was answered after all]"
    return end_attempt(
        connection, newest, now, JobState.UNKNOWN, usd=most, doubt=most, status=newest.status, detail=why
    )


def settle(connection: Connection, now: datetime, key: str, n: int | None, end: AttemptEnd) -> Job:
    """Record that an attempt (None: the current one) ended without an asset."""
    state, reason = end.state, end.reason
    job = read_job(connection, key)
    record = read_attempt(connection, key, n or job.attempts)
    current = job.attempts == record.n
    if current:
        check(key, job.state, state)
    holds = state is JobState.UNKNOWN and end.usd is None
    paid = end_attempt(
        connection, record, now, state, usd=end.usd or ZERO, reserved=record.estimated_usd if holds else ZERO,
        doubt=end.doubt, status=reason.status, detail=f"{reason.kind}: {reason.text}",
    )  # fmt: skip
    spent = job.spent_usd + paid
    if not current:
        return change_job(connection, job, now, spent_usd=spent)
    return move_job(
        connection, job, state, now, spent_usd=spent,
        reason_kind=reason.kind, reason=bounded(reason.text), reason_code=bounded(reason.code),
        **({"details": _submission_of(job) | dict(reason.details)} if reason.details else {}),
    )  # fmt: skip


def _submission_of(job: Job) -> dict[str, Any]:
    """Return of a job's details what its result does not tell again."""
    return {name: value for name, value in (job.details or {}).items() if name == SUBMISSION_ID}


def reopen(connection: Connection, now: datetime, key: str, reason: str) -> Job:
    """Plan an ended job again: its bytes are lost, or another try is wanted.

    Attempts and spending stay on record. The rows of the files it had given are removed, because there are no such
    files any more.
    """
    job = read_job(connection, key)
    if job.state not in (JobState.FINISHED, JobState.STORED, JobState.BLOCKED, JobState.FAILED, JobState.EXPIRED):
        raise LedgerError(f"Job {key[:12]} is {job.state}: only ended jobs can be reopened. Nothing was changed.")
    change(connection, FORGET_FILES, {"job": key})
    return move_job(
        connection, job, JobState.PLANNED, now, operation=None, parked_until=None, submitted_at=None,
        reason_kind=REOPENED, reason=bounded(reason), reason_code="", **_NO_RESULT,
    )  # fmt: skip


def look_again(connection: Connection, now: datetime, key: str) -> Job:
    """Submit an expired job again under the operation that it had.

    What it cost stays counted; nothing is reserved.
    """
    job = read_job(connection, key)
    if job.state is JobState.SUBMITTED:
        return job
    if job.state is not JobState.EXPIRED or not job.operation:
        raise LedgerError(
            f"Job {key[:12]} is {job.state} under {job.operation or 'no operation'}: only an expired one that has an "
            "operation can be looked for again. Nothing was changed."
        )
    return move_job(connection, job, JobState.SUBMITTED, now)


def resolve(connection: Connection, now: datetime, key: str, resolution: Resolution) -> Job:
    """Decide about a job whose request may or may not have been accepted.

    resubmit: plan it again; the earlier attempt counts as spent (unless `usd` says what it cost).
    adopt: it was accepted under `operation`; its money is reserved until that ends.
    drop: give it up as failed; the attempt counts as spent (unless `usd` says what it cost).
    """
    job = read_job(connection, key)
    if job.state is not JobState.UNKNOWN:
        raise LedgerError(f"Job {key[:12]} is {job.state}, not unknown: nothing to resolve. Nothing was changed.")
    record = read_attempt(connection, key, job.attempts)
    decision, by = resolution.decision, f" by {resolution.by}" if resolution.by else ""
    why = bounded(f"{decision}{by}: {job.reason}")
    if decision == "adopt":
        return _adopt(connection, job, record, resolution, now)
    # What may have been charged counts as spent: the reserved money, or what was already put down for it.
    known, most = resolution.usd, max(record.reserved_usd, record.usd)
    cost, doubt = (most, most) if known is None else (known, ZERO)
    paid = end_attempt(
        connection, record, now, JobState.UNKNOWN, usd=cost, doubt=doubt, status=record.status,
        detail=f"{record.detail} [{why}]",
    )  # fmt: skip
    state = JobState.PLANNED if decision == "resubmit" else JobState.FAILED
    return move_job(connection, job, state, now, spent_usd=job.spent_usd + paid, reason_kind="Resolved", reason=why)


def enter_bill(connection: Connection, now: datetime, key: str, usd: Decimal, by: str) -> Job:
    """Record what the bill says that a decided job's requests in doubt cost together.

    The shots that want the job are pending: their next run tells their sidecars, for nothing. LedgerError when nothing
    about the job's cost is in doubt.
    """
    job = read_job(connection, key)
    doubts = [AttemptRecord(*row) for row in connection.execute(_DOUBTS, {"job": key})]
    if not doubts:
        raise LedgerError(
            f"What job {key[:12]} cost is not in doubt: there is nothing to correct. Nothing was changed."
        )
    paid = ZERO
    for number, record in enumerate(doubts):
        told = bounded(f"{record.detail} [the bill says {usd} USD for {len(doubts)}, read by {by}]")
        paid += change_attempt(connection, record, usd=ZERO if number else usd, doubt_usd=None, detail=told)
    connection.execute(_TELL_ANEW, {"job": key, "now": now})
    details = {**(job.details or {}), BILLED: now.isoformat()}
    return change_job(connection, job, now, spent_usd=job.spent_usd + paid, details=details)


def _adopt(connection: Connection, job: Job, record: AttemptRecord, found: Resolution, now: datetime) -> Job:
    operation = found.operation
    if not operation:
        raise LedgerError(f"To adopt job {job.key[:12]}, give the operation's name. Nothing was changed.")
    paid = change_attempt(
        connection,
        record,
        reserved=record.estimated_usd,
        usd=ZERO,
        outcome=OPEN,
        ended_at=None,
        operation=operation,
        doubt_usd=None,
    )
    return move_job(
        connection, job, JobState.SUBMITTED, now, operation=operation, submitted_at=record.at,
        spent_usd=job.spent_usd + paid, details=with_submission_id(job, found.request_id),
        reason_kind="", reason="", reason_code="",
    )  # fmt: skip
