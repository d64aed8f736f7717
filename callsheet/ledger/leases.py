"""Leases of jobs: the job's row is the lock, its lease says who works on it.

A dead owner's job can be taken over.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, bindparam, insert, select, update

from callsheet.errors import LedgerError
from callsheet.ledger.job_state import TERMINAL, JobState
from callsheet.ledger.owners import is_at_work
from callsheet.ledger.prepared import change, fetch
from callsheet.ledger.records import ASKED_MODEL, Claim, Job, JobOrder, find_asked_model
from callsheet.ledger.rows import DROPPED, ZERO, change_job, end_attempt, find_job, move_job, read_attempt, read_job
from callsheet.ledger.tables import batches, jobs, wants

_REQUEST_MAX = 256 * 1024

_NEW_JOB = insert(jobs)
_BATCH = select(batches.c.mode).where(batches.c.name == bindparam("batch"))
_WANT = select(wants.c.job_key).where(
    wants.c.batch == bindparam("of_batch"), wants.c.shot == bindparam("of_shot"), wants.c.slot == bindparam("of_slot")
)
_NEW_WANT = insert(wants)
_OTHER_WANT = update(wants).where(
    wants.c.batch == bindparam("of_batch"), wants.c.shot == bindparam("of_shot"), wants.c.slot == bindparam("of_slot")
)
_RENEW = update(jobs).where(jobs.c.owner == bindparam("holder"))
_HELD = select(jobs).where(jobs.c.owner == bindparam("holder"))


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that asks for leases, and how long each is given.

    Leases run on real time, not on a rehearsal's clock.
    """

    owner: str
    lease_s: float

    def until(self) -> datetime:
        """Return the end of a lease given now."""
        return datetime.now(UTC) + timedelta(seconds=self.lease_s)


def claim(connection: Connection, now: datetime, order: JobOrder, holder: Holder) -> Claim:
    """Return the job of an order, and whether this holder may work on it.

    A new job is planned.
    """
    job = find_job(connection, order.key)
    if job is None:
        job, mine = _plan_job(connection, order, holder, now), True
    else:
        job, mine = _lease_if_free(connection, job, holder, now)
    _record_want(connection, order)
    return Claim(job, mine)


def take(connection: Connection, now: datetime, key: str, holder: Holder) -> Claim:
    """Return a job on record, and whether this holder may work on it.

    Which slots want it stays as it is.
    """
    return Claim(*_lease_if_free(connection, read_job(connection, key), holder, now))


def _lease_if_free(connection: Connection, job: Job, holder: Holder, now: datetime) -> tuple[Job, bool]:
    """Lease the job to this holder when it can be had."""
    mine = job.state not in TERMINAL and _is_free(job, holder)
    if mine and job.owner != holder.owner:
        job = _take_over(connection, job, holder, now)
    return job, mine


def change_model(connection: Connection, now: datetime, key: str, model: str, holder: Holder) -> Job:
    """Have another model asked for our job, of which nothing was accepted.

    Its key stays, and its request tells which model that was made with. LedgerError for a job that was sent.
    """
    job = read_job(connection, key)
    if job.owner == holder.owner:
        job = give_back_slot(connection, job, now)
    if job.owner != holder.owner or job.state is not JobState.PLANNED:
        raise LedgerError(
            f"Job {key[:12]} is {job.state}, held by {job.owner or 'nobody'}: it stays with {job.model}. "
            "Nothing was changed."
        )
    asked = find_asked_model(job)
    request = {name: value for name, value in job.request.items() if name != ASKED_MODEL}
    request |= {} if model == asked else {ASKED_MODEL: asked}
    return change_job(connection, job, now, model=model, request=request, parked_until=None)


def renew(connection: Connection, holder: Holder) -> None:
    """Prolong all leases of the holder."""
    change(connection, _RENEW, {"holder": holder.owner, "lease_until": holder.until()})


def release(connection: Connection, now: datetime, holder: Holder, key: str | None = None) -> None:
    """Give back one job of the holder, or all.

    Slots and money that were reserved, not used, are free again.
    """
    for row in connection.execute(_HELD, {"holder": holder.owner}).all():
        job = Job(*row)
        if key in (None, job.key):
            job = give_back_slot(connection, job, now)
            change_job(connection, job, now, owner=None, lease_until=None)


def give_back_slot(connection: Connection, job: Job, now: datetime) -> Job:
    """Return a reserved job to planned; others stay as they are.

    Nothing was sent, so slot and money are free.
    """
    if job.state is not JobState.RESERVED:
        return job
    end_attempt(connection, read_attempt(connection, job.key, job.attempts), now, DROPPED, usd=ZERO)
    return move_job(connection, job, JobState.PLANNED, now)


def _plan_job(connection: Connection, order: JobOrder, holder: Holder, now: datetime) -> Job:
    if fetch(connection, _BATCH, {"batch": order.batch}) != [order.mode]:
        raise LedgerError(
            f"Job {order.key[:12]} is for batch {order.batch!r} in mode {order.mode!r}, and no such batch was opened. "
            "Nothing was recorded. Call open_batch first."
        )
    _check_request(order)
    job = Job(
        key=order.key, kind=order.kind, mode=order.mode, model=order.model, state=JobState.PLANNED,
        batch=order.batch, shot=order.shot, slot=order.slot, request=dict(order.request), operation=None,
        reason_kind="", reason="", reason_code="", estimated_usd=ZERO, spent_usd=ZERO, attempts=0,
        sha256=None, md5=None, size=None, mime_type=None, width=None, height=None, duration_s=None, details=None,
        owner=holder.owner, lease_until=holder.until(), parked_until=None, created=now, updated=now,
        submitted_at=None, finished_at=None,
    )  # fmt: skip
    change(connection, _NEW_JOB, {name: getattr(job, name) for name in Job.__slots__})
    return job


def _check_request(order: JobOrder) -> None:
    try:
        size = len(json.dumps(order.request))
    except (TypeError, ValueError) as error:
        raise LedgerError(f"The request of job {order.key[:12]} is not JSON ({error}). Nothing was recorded.") from None
    if size > _REQUEST_MAX:
        raise LedgerError(
            f"The request of job {order.key[:12]} has {size} characters of JSON; at most {_REQUEST_MAX} are kept. "
            "Nothing was recorded. Leave bytes out, or shorten the prompt."
        )


def is_held(job: Job) -> bool:
    """Return whether somebody works on the job.

    It has a holder that is not dead, and whose lease is not over.
    """
    return job.owner is not None and is_at_work(job.owner, job.lease_until)


def _is_free(job: Job, holder: Holder) -> bool:
    """Return whether the job may be taken: nobody else works on it."""
    return job.owner == holder.owner or not is_held(job)


def _take_over(connection: Connection, job: Job, holder: Holder, now: datetime) -> Job:
    """Give the job a new owner.

    What its last owner was sending when it was lost may have been accepted: such a job becomes unknown.
    """
    job = give_back_slot(connection, job, now)
    if job.state is JobState.SUBMITTING:
        reason = "The process that was sending it ended before the answer came; it may have been accepted."
        attempt = read_attempt(connection, job.key, job.attempts)
        end_attempt(
            connection, attempt, now, JobState.UNKNOWN, usd=attempt.usd, reserved=attempt.reserved_usd, detail=reason
        )
        job = move_job(connection, job, JobState.UNKNOWN, now, reason_kind="Unknown", reason=reason, reason_code="")
    return change_job(connection, job, now, owner=holder.owner, lease_until=holder.until())


def _record_want(connection: Connection, order: JobOrder) -> None:
    place = {"of_batch": order.batch, "of_shot": order.shot, "of_slot": order.slot}
    wanted = fetch(connection, _WANT, place)
    if wanted is None:
        values = {"batch": order.batch, "shot": order.shot, "slot": order.slot, "job_key": order.key}
        change(connection, _NEW_WANT, values)
    elif wanted != [order.key]:
        change(connection, _OTHER_WANT, {**place, "job_key": order.key})
