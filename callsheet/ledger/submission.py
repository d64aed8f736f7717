"""Checks and intent before a paid POST: budget, quota, intent.

All in one transaction that excludes every other writer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, bindparam, func, insert, select

from callsheet.errors import BudgetParked, LedgerError, Parked, QuotaParked
from callsheet.ledger.job_state import JobState, check
from callsheet.ledger.leases import give_back_slot
from callsheet.ledger.model_usage import Spent, within_spend
from callsheet.ledger.prepared import change, fetch
from callsheet.ledger.quota import DayFull, QuotaLimits, Slot, place
from callsheet.ledger.quota_usage import AttemptTimes, learned, redate
from callsheet.ledger.records import Attempt, AttemptRecord, BudgetScope, Job
from callsheet.ledger.rows import (
    DROPPED,
    OPEN,
    RESERVED,
    ZERO,
    change_attempt,
    end_attempt,
    move_job,
    post,
    read_attempt,
    read_job,
    with_submission_id,
)
from callsheet.ledger.spend_window import Position, SpendLimits, lacking
from callsheet.ledger.tables import attempts, batches
from callsheet.shots import Mode

_payer = batches.alias("payer")
_CAMPAIGN = (
    select(func.sum(batches.c.spent_usd), func.sum(batches.c.reserved_usd))
    .join(_payer, (batches.c.campaign == _payer.c.campaign) & (batches.c.mode == _payer.c.mode))
    .where(_payer.c.name == bindparam("payer"))
)
_BATCH = select(batches.c.spent_usd, batches.c.reserved_usd).where(batches.c.name == bindparam("payer"))
_NEW_ATTEMPT = insert(attempts)


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms on which a submission may be made.

    `payer` is the batch that pays, None: the first that wanted the job. `output` is the gs:// folder that videos are
    written to, "" when they come in the reply, None when that is not known. `credential` names the key or project that
    it is sent with.
    """

    estimate: Decimal
    scope: str
    limits: QuotaLimits
    budget: Decimal | None = None
    budget_scope: BudgetScope = "campaign"
    payer: str | None = None
    output: str | None = None
    credential: str | None = None
    spend: SpendLimits = field(default_factory=SpendLimits)


def begin(connection: Connection, now: datetime, key: str, terms: Terms, owner: str) -> Attempt | Parked:
    """Write the intent, or reserve a slot in the future; or park the job and say why.

    Parking is written too, so the error is returned rather than raised. Raises LedgerError when the job is not ours.
    """
    job = _read_own_job(connection, key, owner)
    job = give_back_slot(connection, job, now)
    check(key, job.state, JobState.SUBMITTING)
    payer = terms.payer or job.batch
    terms = replace(terms, payer=payer)
    short = lacking(_read_position(connection, payer, terms), terms.estimate, terms.budget)
    if short:
        return _park(connection, job, _describe_over_budget(job, terms, payer, short), now)
    slot = _find_slot(AttemptTimes(connection, terms.scope, job.model, now), job.mode, terms.limits)
    if isinstance(slot, Slot):
        slot = within_spend(Spent(connection, terms.scope, now), terms.spend, terms.estimate, slot)
    if isinstance(slot, DayFull):
        return _park(connection, job, _describe_day_full(job, slot), now)
    return _write_attempt(connection, job, terms, slot.not_before, now)


def submitting(connection: Connection, now: datetime, attempt: Attempt, owner: str) -> datetime | Parked | None:
    """Turn a reserved slot into an intent; returns None when it is written.

    A later slot when this one came too late. The slot is checked again against what was really sent: a caller that
    overslept must not crowd the window.
    """
    job = _read_own_job(connection, attempt.key, owner)
    if job.attempts != attempt.n:
        raise LedgerError(f"Attempt {attempt.n} of job {attempt.key[:12]} is no longer current. Claim the job again.")
    if job.state is JobState.SUBMITTING:
        return None
    check(job.key, job.state, JobState.SUBMITTING)
    record = read_attempt(connection, attempt.key, attempt.n)
    if record.at > now:
        return record.at
    change_attempt(connection, record, outcome=DROPPED)  # so that it does not count against itself
    times = AttemptTimes(connection, record.scope, job.model, now, waiting=False)
    slot = _find_slot(times, job.mode, attempt.limits)
    if isinstance(slot, Slot):
        spent = Spent(connection, record.scope, now, waiting=False)
        slot = within_spend(spent, attempt.spend, attempt.estimate, slot)
    if isinstance(slot, DayFull):
        end_attempt(connection, record, now, DROPPED, usd=ZERO)
        return _park(connection, job, _describe_day_full(job, slot), now)
    sendable = slot.not_before <= now
    change_attempt(connection, record, at=slot.not_before, outcome=OPEN if sendable else RESERVED)
    if not sendable:
        return slot.not_before
    move_job(connection, job, JobState.SUBMITTING, now)
    return None


def mark_sent(connection: Connection, now: datetime, key: str, n: int, moment: datetime) -> None:
    """Count an attempt from when its sending really began.

    That is later than its slot, when it was not ready.
    """
    record = read_attempt(connection, key, n)
    if record.outcome not in (DROPPED, RESERVED) and record.at < moment <= now:
        change_attempt(connection, record, at=moment)


def submitted(connection: Connection, now: datetime, attempt: Attempt, operation: str) -> Job:
    """Record the operation's name.

    News of an attempt that was given up is kept with the attempt.
    """
    job = read_job(connection, attempt.key)
    record = read_attempt(connection, attempt.key, attempt.n)
    change_attempt(connection, record, operation=operation)
    if job.attempts != attempt.n:
        return job
    if job.state is JobState.SUBMITTED and job.operation == operation:
        return job
    if record.outcome != OPEN:  # it was taken for lost, and is not: its money is held again
        paid = change_attempt(
            connection, record, outcome=OPEN, reserved=record.estimated_usd, usd=ZERO, ended_at=None, doubt_usd=None
        )
    else:
        paid = ZERO
    return move_job(
        connection,
        job,
        JobState.SUBMITTED,
        now,
        operation=operation,
        submitted_at=now,
        spent_usd=job.spent_usd + paid,
        details=with_submission_id(job, attempt.request_id),
        reason_kind="",
        reason="",
        reason_code="",
    )


def _find_slot(times: AttemptTimes, mode: Mode, limits: QuotaLimits) -> Slot | DayFull:
    connection, scope, model, now = times.connection, times.scope, times.model, times.now
    if mode == "live":  # rehearsals of one scope may have had faster clocks; real time is one
        redate(connection, scope, model, now)
    return place(times, now, limits, learned(connection, scope, model, now))


def _read_own_job(connection: Connection, key: str, owner: str) -> Job:
    job = read_job(connection, key)
    if job.owner != owner:
        holder = f"held by {job.owner}" if job.owner else "held by nobody"
        raise LedgerError(
            f"Job {key[:12]} is {job.state} and {holder}, so it must not be sent from here. Nothing was sent. "
            "Claim it again."
        )
    return job


def _read_position(connection: Connection, payer: str, terms: Terms) -> Position:
    if terms.budget is None:
        return Position()
    row = fetch(connection, _CAMPAIGN if terms.budget_scope == "campaign" else _BATCH, {"payer": payer})
    return Position(spent=row[0] or ZERO, reserved=row[1] or ZERO) if row else Position()


def _write_attempt(connection: Connection, job: Job, terms: Terms, not_before: datetime, now: datetime) -> Attempt:
    payer = terms.payer or job.batch
    waits = not_before > now
    n = job.attempts + 1
    record = AttemptRecord(
        job_key=job.key, n=n, batch=payer, scope=terms.scope, model=job.model, kind=job.kind, at=not_before,
        ended_at=None, outcome=RESERVED if waits else OPEN, status=None, detail="", estimated_usd=terms.estimate,
        reserved_usd=terms.estimate, usd=ZERO, operation=None,
        output=terms.output, credential=terms.credential,
    )  # fmt: skip
    change(connection, _NEW_ATTEMPT, {name: getattr(record, name) for name in AttemptRecord.__slots__})
    move_job(
        connection,
        job,
        JobState.RESERVED if waits else JobState.SUBMITTING,
        now,
        attempts=n,
        estimated_usd=terms.estimate,
        operation=None,
        parked_until=None,
    )
    post(connection, payer, held=terms.estimate)
    when = not_before if waits else None
    return Attempt(job.key, n, terms.scope, job.model, terms.estimate, terms.limits, when, terms.output, terms.spend)


def park(connection: Connection, now: datetime, key: str, why: Parked, owner: str) -> None:
    """Record that our job waits, and give back what it reserves.

    One that was sent, or is not ours, stays as it is.
    """
    job = read_job(connection, key)
    if job.owner == owner and (job := give_back_slot(connection, job, now)).state is JobState.PLANNED:
        _park(connection, job, why, now)


def _park(connection: Connection, job: Job, why: Parked, now: datetime) -> Parked:
    move_job(
        connection, job, JobState.PLANNED, now, parked_until=why.until, owner=None, lease_until=None,
        reason_kind=type(why).__name__, reason=str(why), reason_code="",
    )  # fmt: skip
    return why


def _describe_over_budget(job: Job, terms: Terms, payer: str, short: Decimal) -> BudgetParked:
    whose = "the campaign of batch" if terms.budget_scope == "campaign" else "batch"
    return BudgetParked(
        f"The next {job.kind} (up to ${terms.estimate:.4f}) could take {whose} {payer} ${short:.4f} over its budget of "
        f"${terms.budget:.2f}. Nothing was sent. Raise the budget and start the batch again to go on."
    )


def _describe_day_full(job: Job, full: DayFull) -> QuotaParked:
    return QuotaParked(
        f"No more requests for {job.model} may be sent today or for some time. Nothing was sent. "
        f"It can go on from {full.until:%Y-%m-%d %H:%M} UTC: start the batch again then.",
        until=full.until,
    )
