"""Reads and changes of single rows inside a write transaction: jobs, money, files.

The only code that moves a job or its money.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from callsheet.errors import LedgerError
from callsheet.ledger.dialect import MicroUsd
from callsheet.ledger.job_state import TERMINAL, JobState, check
from callsheet.ledger.prepared import change, fetch
from callsheet.ledger.records import SUBMISSION_ID, AttemptRecord, Job
from callsheet.ledger.tables import assets, attempts, batches, jobs
from callsheet.shots import Asset

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
_FIELDS = tuple(field.name for field in fields(Asset))
_COLUMNS = [assets.c[name] for name in _FIELDS]
_PLACE = (
    assets.c.batch == bindparam("of_batch"),
    assets.c.shot == bindparam("of_shot"),
    assets.c.name == bindparam("of_name"),
)
_THERE = select(assets.c.sha256, assets.c.recipe).where(*_PLACE)
_MADE = (
    update(assets)
    .where(*_PLACE)
    .values(recipe=bindparam("made_by"), details=bindparam("made_so", type_=assets.c.details.type))
)
_NEW = insert(assets)


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
    doubt: Decimal = ZERO,
) -> Decimal:
    """Close an attempt, and record what it cost; returns what was spent more (USD).

    What it reserved is released (but `reserved`). Closing one again corrects it: the money is the difference, never
    added twice. `doubt` is what of `usd` is not known to have been charged.
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
        doubt_usd=doubt or None,
    )


def with_submission_id(job: Job, request_id: str) -> dict[str, Any] | None:
    """Return the job's details with the provider's id of its newest submission.

    That of an earlier one does not stand for it.
    """
    details = {name: value for name, value in (job.details or {}).items() if name != SUBMISSION_ID}
    return details | ({SUBMISSION_ID: request_id} if request_id else {}) or None


def bounded(text: str) -> str:
    """Cut the text to what a row may contain; replies of providers have any length."""
    return text if len(text) <= _REASON_MAX else text[: _REASON_MAX - 1] + "…"


def store_files(connection: Connection, now: datetime, key: str, files: Sequence[Asset]) -> Job:
    """Record that the job is stored and that these are its files, both or neither.

    Storing it again (in another batch) adds files.
    """
    job = read_job(connection, key)
    add_files(connection, files)
    return move_job(connection, job, JobState.STORED, now)


def add_files(connection: Connection, files: Sequence[Asset]) -> None:
    """Add rows of files; a file that is already on record is left alone.

    Raises LedgerError when its name stands for other bytes. Where another recipe led to the same bytes, the file has
    the new recipe from then on.
    """
    for asset in files:
        place = {"of_batch": asset.batch, "of_shot": asset.shot, "of_name": asset.name}
        there = fetch(connection, _THERE, place)
        if there is None:
            change(connection, _NEW, {name: getattr(asset, name) for name in _FIELDS})
        elif there[0] != asset.sha256:
            raise LedgerError(
                f"{asset.batch}/{asset.shot}/{asset.name} is on record with sha256 {there[0][:12]}, "
                f"not {asset.sha256[:12]}. Nothing was recorded. "
                "File names carry the hash, so one of the two files is not what it says."
            )
        elif asset.recipe not in (None, there[1]):
            change(connection, _MADE, {**place, "made_by": asset.recipe, "made_so": asset.details})


def assets_of(connection: Connection, batch: str, shot: str | None) -> list[Asset]:
    """Return the files of a batch, or of one shot of it, oldest first."""
    statement = (
        select(*_COLUMNS).where(assets.c.batch == batch).order_by(assets.c.created, assets.c.shot, assets.c.name)
    )
    if shot is not None:
        statement = statement.where(assets.c.shot == shot)
    return [Asset(*row) for row in connection.execute(statement)]


def assets_among(connection: Connection, batch: str, shots: Sequence[str]) -> list[Asset]:
    """Return the files of some of a batch's shots, reading only their rows."""
    statement = select(*_COLUMNS).where(assets.c.batch == batch).order_by(assets.c.shot, assets.c.created)
    asked = (statement.where(assets.c.shot.in_(some)) for some in at_once(shots))
    return [Asset(*row) for each in asked for row in connection.execute(each)]


def archived_among(connection: Connection, batch: str, hashes: Iterable[str]) -> set[str]:
    """Return those of the hashes that archived files of the batch have."""
    statement = select(assets.c.sha256).where(assets.c.batch == batch)
    asked = (statement.where(assets.c.sha256.in_(some)) for some in at_once(list(hashes)))
    return {sha256 for each in asked for sha256 in connection.execute(each).scalars()}


def copies_of(connection: Connection, sha256: str) -> list[Asset]:
    """Return the files with these bytes, of every batch, oldest first."""
    statement = select(*_COLUMNS).where(assets.c.sha256 == sha256).order_by(assets.c.created, assets.c.batch)
    return [Asset(*row) for row in connection.execute(statement)]


def select_paid_files(connection: Connection) -> list[Asset]:
    """Return the files that paid jobs gave, of every batch, ordered by batch."""
    statement = select(*_COLUMNS).where(assets.c.job_key.is_not(None)).order_by(assets.c.batch, assets.c.created)
    return [Asset(*row) for row in connection.execute(statement)]
