"""Questions about jobs and money; they need no transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, case, func, or_, select, type_coerce

from callsheet.errors import BudgetParked, LedgerError, NoRoom, QuotaParked, RouteMissing, RouteParked
from callsheet.ledger import tables
from callsheet.ledger.dialect import EPOCH, MicroUsd
from callsheet.ledger.job_state import JobState
from callsheet.ledger.quota import PACIFIC
from callsheet.ledger.records import EDIT_OF, AttemptRecord, Job, SpendRow, Want
from callsheet.ledger.rows import DROPPED, ZERO, at_once
from callsheet.ledger.tables import attempts, batches, jobs, shots, wants

_PARKED = tuple(error.__name__ for error in (BudgetParked, QuotaParked, RouteParked, RouteMissing, NoRoom))
_HOUR_US = 3600 * 1_000_000
# A look gives no file, and no shot waits for one: nobody has to collect, resume or resolve it.
_OF_FILES = jobs.c.kind != "look"


def identity(connection: Connection) -> str:
    """Return the ledger's identity.

    LedgerError when somebody emptied the table that says it.
    """
    found: str | None = connection.execute(select(tables.identity.c.id)).scalars().first()
    if found is None:
        raise LedgerError("The ledger does not say which one it is: its table `identity` is empty. Restore a copy.")
    return found


def jobs_by_key(connection: Connection, keys: Iterable[str]) -> dict[str, Job]:
    """Return the jobs that exist among `keys`."""
    wanted = list(dict.fromkeys(keys))
    found: dict[str, Job] = {}
    for some in at_once(wanted):
        statement = select(jobs).where(jobs.c.key.in_(some))
        found |= {job.key: job for job in _fetch_jobs(connection, statement)}
    return found


def wants_of(connection: Connection, batch: str) -> list[Want]:
    """Return which job fills which slot of the shots in the batch's manifest."""
    statement = (
        select(wants.c.batch, wants.c.shot, wants.c.slot, wants.c.job_key)
        .join(shots, (shots.c.batch == wants.c.batch) & (shots.c.shot == wants.c.shot))
        .where(wants.c.batch == batch, ~shots.c.dropped)
        .order_by(shots.c.position, wants.c.slot)
    )
    return [Want(*row) for row in connection.execute(statement)]


def others_wanting(connection: Connection, batch: str, keys: Iterable[str]) -> dict[str, list[str]]:
    """Return the other batches that want these jobs, by job.

    A dropped shot wants nothing.
    """
    found: dict[str, list[str]] = {}
    statement = (
        select(wants.c.job_key, wants.c.batch)
        .distinct()
        .join(shots, (shots.c.batch == wants.c.batch) & (shots.c.shot == wants.c.shot))
        .where(wants.c.batch != batch, ~shots.c.dropped)
        .order_by(wants.c.batch)
    )
    for some in at_once(list(keys)):
        for key, other in connection.execute(statement.where(wants.c.job_key.in_(some))):
            found.setdefault(key, []).append(other)
    return found


def wants_among(connection: Connection, batch: str, shots: Sequence[str]) -> list[Want]:
    """Return which job fills which slot of some of a batch's shots."""
    columns = (wants.c.batch, wants.c.shot, wants.c.slot, wants.c.job_key)
    statement = select(*columns).where(wants.c.batch == batch)
    asked = (statement.where(wants.c.shot.in_(some)) for some in at_once(shots))
    return [Want(*row) for each in asked for row in connection.execute(each)]


def jobs_of(connection: Connection, batch: str) -> list[Job]:
    """Return the pictures and videos that the batch's shots want, oldest first.

    Whoever paid for them.
    """
    keys = [want.job_key for want in wants_of(connection, batch)]
    found = (job for job in jobs_by_key(connection, keys).values() if job.kind != "look")
    return sorted(found, key=lambda job: (job.created, job.key))


def edits_of(connection: Connection, batch: str, shot: str) -> list[Job]:
    """Return the pictures that shots of the batch want made of takes of a shot."""
    statement = (
        select(jobs)
        .join(wants, wants.c.job_key == jobs.c.key)
        .where(wants.c.batch == batch, jobs.c.kind == "image")
        .where(jobs.c.request[EDIT_OF].as_string().startswith(f"{shot}:", autoescape=True))
        .order_by(jobs.c.created, jobs.c.key)
    )
    return _fetch_jobs(connection, statement)


def jobs_in(connection: Connection, states: Iterable[JobState]) -> list[Job]:
    """Return all pictures and videos in these states, of every batch, oldest first."""
    statement = select(jobs).where(jobs.c.state.in_(list(states)), _OF_FILES).order_by(jobs.c.created, jobs.c.key)
    return _fetch_jobs(connection, statement)


def select_parked(connection: Connection) -> list[Job]:
    """Return the jobs that wait for a quota or a budget, in every batch, oldest first."""
    statement = select(jobs).where(jobs.c.state == JobState.PLANNED, jobs.c.reason_kind.in_(_PARKED), _OF_FILES)
    return _fetch_jobs(connection, statement.order_by(jobs.c.created, jobs.c.key))


def open_jobs(connection: Connection, batch: str) -> list[Job]:
    """Return the parked, running and unknown jobs that the batch wants or has sent.

    They are pictures and videos. Each comes with the batch's own shot where it is wanted, else with the shot that
    wanted it first.
    """
    own = select(wants.c.job_key, func.min(wants.c.shot).label("shot")).where(wants.c.batch == batch)
    mine = own.group_by(wants.c.job_key).subquery()
    statement = (
        select(jobs, mine.c.shot)
        .outerjoin(mine, mine.c.job_key == jobs.c.key)
        .where(
            or_(jobs.c.batch == batch, mine.c.job_key.is_not(None)),
            or_(
                jobs.c.state.in_([JobState.SUBMITTING, JobState.SUBMITTED, JobState.UNKNOWN]),
                (jobs.c.state == JobState.PLANNED) & jobs.c.reason_kind.in_(_PARKED),
            ),
            _OF_FILES,
        )
        .order_by(jobs.c.created, jobs.c.key)
    )
    found = ((Job(*row[:-1]), row[-1]) for row in connection.execute(statement))
    return [job if shot is None else replace(job, shot=shot) for job, shot in found]


def sum_held(connection: Connection, batch: str) -> Decimal:
    """Return what is reserved for the batch's own open submissions (USD).

    Those are the ones not settled yet.
    """
    held: Decimal | None = connection.execute(select(batches.c.reserved_usd).where(batches.c.name == batch)).scalar()
    return held or ZERO


def sum_doubts(connection: Connection) -> dict[str, Decimal]:
    """Return by batch the USD of requests whose cost only the bill tells.

    Held for those that wait for a decision, counted as spent for those that were decided without knowing. Batches
    without any are left out.
    """
    held = case((attempts.c.outcome == JobState.UNKNOWN.value, attempts.c.reserved_usd), else_=0)
    doubt = func.sum(held + func.coalesce(attempts.c.doubt_usd, 0), type_=MicroUsd)
    statement = select(attempts.c.batch, doubt).group_by(attempts.c.batch).having(doubt > ZERO)
    return {row[0]: row[1] for row in connection.execute(statement)}


def doubts_on(connection: Connection, keys: Iterable[str]) -> dict[str, Decimal]:
    """Return the USD in doubt of those of the jobs that have some."""
    doubt = func.sum(attempts.c.doubt_usd, type_=MicroUsd)
    statement = select(attempts.c.job_key, doubt).where(attempts.c.doubt_usd > ZERO).group_by(attempts.c.job_key)
    found = (connection.execute(statement.where(attempts.c.job_key.in_(some))) for some in at_once(list(keys)))
    return {row[0]: row[1] for each in found for row in each}


def jobs_with_doubts(connection: Connection) -> list[Job]:
    """Return the decided jobs of whose cost a part is in doubt."""
    doubtful = select(attempts.c.job_key).where(attempts.c.doubt_usd > ZERO)
    return _fetch_jobs(connection, select(jobs).where(jobs.c.key.in_(doubtful)).order_by(jobs.c.created, jobs.c.key))


def attempts_of(connection: Connection, batch: str) -> list[AttemptRecord]:
    """Return the attempts that the batch paid for, in order of time."""
    statement = select(attempts).where(attempts.c.batch == batch)
    return [AttemptRecord(*row) for row in connection.execute(statement.order_by(attempts.c.at, attempts.c.job_key))]


def attempts_on(connection: Connection, key: str) -> list[AttemptRecord]:
    """Return the attempts of one job, first to last."""
    statement = select(attempts).where(attempts.c.job_key == key).order_by(attempts.c.n)
    return [AttemptRecord(*row) for row in connection.execute(statement)]


def sum_spent(connection: Connection, batch: str) -> Decimal:
    """Return what the batch's own submissions have cost (USD).

    A job that another batch paid for costs it nothing.
    """
    spent: Decimal | None = connection.execute(select(batches.c.spent_usd).where(batches.c.name == batch)).scalar()
    return spent or ZERO


def spend(connection: Connection, campaign: str | None, mode: str | None) -> list[SpendRow]:
    """Sum the money by campaign, mode, model and Pacific day (the provider's).

    Of everything, or of one campaign or mode.
    """
    at = type_coerce(attempts.c.at, BigInteger)
    hour = (at - at % _HOUR_US).label("hour")
    group = (batches.c.campaign, batches.c.mode, attempts.c.model, hour)
    sums = (attempts.c.estimated_usd, attempts.c.reserved_usd, attempts.c.usd)
    statement = (
        select(*group, func.count(), *(func.sum(column) for column in sums))
        .join(batches, batches.c.name == attempts.c.batch)
        .where(attempts.c.outcome != DROPPED)
        .group_by(*group)
    )
    if campaign is not None:
        statement = statement.where(batches.c.campaign == campaign)
    if mode is not None:
        statement = statement.where(batches.c.mode == mode)
    return _sum_by_day([tuple(row) for row in connection.execute(statement)])


def _sum_by_day(hours: Iterable[tuple[Any, ...]]) -> list[SpendRow]:
    """Sum hours to days.

    Midnight Pacific is always on the hour, and SQL knows no time zones.
    """
    days: dict[tuple[Any, ...], list[Any]] = defaultdict(lambda: [0, ZERO, ZERO, ZERO])
    for campaign, mode, model, hour, *values in hours:
        day = (EPOCH + timedelta(microseconds=int(hour))).astimezone(PACIFIC).date()
        sums = days[campaign, mode, model, day]
        sums[:] = [total + value for total, value in zip(sums, values, strict=True)]
    return [SpendRow(*group, *sums) for group, sums in sorted(days.items(), key=lambda item: item[0])]


def _fetch_jobs(connection: Connection, statement: Select[Any]) -> list[Job]:
    return [Job(*row) for row in connection.execute(statement)]
