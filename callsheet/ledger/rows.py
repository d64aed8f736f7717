"""Reads and changes of single rows inside a write transaction.

The only code that moves a job or its money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from callsheet.errors import LedgerError
from callsheet.ledger.dialect import MicroUsd
from callsheet.ledger.job_state import TERMINAL, JobState, check
from callsheet.ledger.prepared import change, fetch
from callsheet.ledger.records import AttemptRecord, Job
from callsheet.ledger.tables import attempts, batches, jobs

ZERO = Decimal(0)
# Outcomes of attempts beside the states they lead to.
RESERVED, OPEN, DROPPED = "reserved", "open", "dropped"
# A job in these states is nobody's: either done, or waiting for a person.
_WITHOUT_OWNER = TERMINAL | {JobState.UNKNOWN}
_REASON_MAX = 4000

# Databases bound how many values one statement may carry; this is far below every such bound.
_VALUES_AT_ONCE = 500

# Statements are built once, so that they are compiled once.
_JOB = select(jobs).where(jobs.c.key == bindparam("job"))
_MOVE = update(jobs).where(jobs.c.key == bindparam("job"))
_ATTEMPT = select(attempts).where(attempts.c.job_key == bindparam("job"), attempts.c.n == bindparam("number"))
_CHANGE = update(attempts).where(attempts.c.job_key == bindparam("job"), attempts.c.n == bindparam("number"))
_POST = (
    update(batches)
    .where(batches.c.name == bindparam("payer"))
    .values(
        reserved_usd=batches.c.reserved_usd + bindparam("held", type_=MicroUsd),
        spent_usd=batches.c.spent_usd + bindparam("paid", type_=MicroUsd),
    )
)


def at_once(values: Sequence[str]) -> list[Sequence[str]]:
    """Split the values into as few lots as one statement each can carry."""
    return [values[start : start + _VALUES_AT_ONCE] for start in range(0, len(values), _VALUES_AT_ONCE)]


def find_job(connection: Connection, key: str) -> Job | None:
    """Return the job, None when there is none."""
    row = fetch(connection, _JOB, {"job": key})
    return None if row is None else Job(*row)


def read_job(connection: Connection, key: str) -> Job:
    """Return the job; LedgerError when there is none."""
    job = find_job(connection, key)
    if job is None:
        raise LedgerError(f"The ledger has no job {key[:12]}. It has to be claimed before anything else is done to it.")
    return job


def move_job(connection: Connection, job: Job, state: JobState, now: datetime, **changes: Any) -> Job:
    """Move the job to a new state; LedgerError when the move is not legal.

    Ended jobs lose their owner. Returns the job as it is then.
    """
    check(job.key, job.state, state)
    if state in _WITHOUT_OWNER:
        changes |= {"owner": None, "lease_until": None}
    return change_job(connection, job, now, state=state, **changes)


def change_job(connection: Connection, job: Job, now: datetime, **changes: Any) -> Job:
    """Change other columns of the job than its state; returns the job.

    Moves go through `move_job`.
    """
    changes["updated"] = now
    change(connection, _MOVE, {"job": job.key, **changes})
    return replace(job, **changes)


def read_attempt(connection: Connection, key: str, n: int) -> AttemptRecord:
    """Return the attempt; LedgerError when there is none."""
    row = fetch(connection, _ATTEMPT, {"job": key, "number": n})
    if row is None:
        raise LedgerError(f"The ledger has no attempt {n} of job {key[:12]}: `begin` comes before the request.")
    return AttemptRecord(*row)


def change_attempt(
    connection: Connection,
    attempt: AttemptRecord,
    *,
    reserved: Decimal | None = None,
    usd: Decimal | None = None,
    **changes: Any,
) -> Decimal:
    """Change an attempt, and post the difference of its money to the batch that pays.

    Returns what was spent more (USD).
    """
    held = ZERO if reserved is None else reserved - attempt.reserved_usd
    paid = ZERO if usd is None else usd - attempt.usd
    if reserved is not None:
        changes["reserved_usd"] = reserved
    if usd is not None:
        changes["usd"] = usd
    change(connection, _CHANGE, {"job": attempt.job_key, "number": attempt.n, **changes})
    post(connection, attempt.batch, held=held, paid=paid)
    return paid


def post(connection: Connection, payer: str, *, held: Decimal = ZERO, paid: Decimal = ZERO) -> None:
    """Add to what a batch has reserved and spent."""
    if held or paid:
        change(connection, _POST, {"payer": payer, "held": held, "paid": paid})


def end_attempt(
    connection: Connection,
    attempt: AttemptRecord,
    now: datetime,
    outcome: str,
    *,
    usd: Decimal,
    reserved: Decimal = ZERO,
    status: int | None = None,
    detail: str = "",
) -> Decimal:
    """Close an attempt, and record what it cost; returns what was spent more (USD).

    What it reserved is released (but `reserved`). Closing one again corrects it: the money is the difference, never
    added twice.
    """
    return change_attempt(
        connection,
        attempt,
        reserved=reserved,
        usd=usd,
        outcome=outcome,
        ended_at=now,
        status=status,
        detail=bounded(detail),
    )


def bounded(text: str) -> str:
    """Cut the text to what a row may contain; replies of providers have any length."""
    return text if len(text) <= _REASON_MAX else text[: _REASON_MAX - 1] + "…"
