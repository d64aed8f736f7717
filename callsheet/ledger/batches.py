"""Rows of batches and of the states of their shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from callsheet.errors import BegunElsewhere, LedgerError
from callsheet.ledger.prepared import change
from callsheet.ledger.records import BatchRow, ShotRow
from callsheet.ledger.rows import ZERO, at_once, bounded
from callsheet.ledger.tables import batches, jobs, shots, wants
from callsheet.shots import Batch, ShotOutcome

_ONE_SHOT = (shots.c.batch == bindparam("of_batch"), shots.c.shot == bindparam("of_shot"))
_NO_JOBS = (
    select(jobs.c.key)
    .join(wants, wants.c.job_key == jobs.c.key)
    .where(wants.c.batch == bindparam("of_batch"), jobs.c.model == "", jobs.c.attempts == 0)
)
_SET_SHOT = update(shots).where(*_ONE_SHOT)


@dataclass(frozen=True, slots=True)
class ShotStatus:
    """The state of a shot, the step that it is at, and why.

    `kind` is the error's class, `reason` a sentence.
    """

    state: ShotOutcome
    step: str = ""
    kind: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StartRecord:
    """What a run puts on record of how its batch was started.

    `request` (JSON, no secrets) holds the settings of the run, `begun` those of its values that only the first run
    decides, as this run read them before.
    """

    request: Mapping[str, Any]
    begun: Mapping[str, Any] = field(default_factory=dict)


def open_batch(
    connection: Connection,
    now: datetime,
    batch: Batch,
    wanted: Sequence[tuple[str, int]],
    started: StartRecord | None = None,
) -> None:
    """Bring the batch's rows in line with its manifest.

    Shots that are gone from the manifest are kept, but marked dropped. Without a record of the start that which is
    there stays. BegunElsewhere when another run has begun the batch otherwise meanwhile.
    """
    if started is not None:
        _check_begun(connection, batch, started)
    put_batch(connection, batch, now, started.request if started else None)
    _forget_no_jobs(connection, batch.name)
    known = {row.shot: row for row in connection.execute(select(shots).where(shots.c.batch == batch.name))}
    new = [
        {"batch": batch.name, "shot": shot, "position": position, "dropped": False, "state": ShotOutcome.PENDING,
         "step": "", "reason_kind": "", "reason": "", "updated": now}
        for shot, position in wanted if shot not in known
    ]  # fmt: skip
    if new:
        connection.execute(insert(shots), new)
    positions = dict(wanted)
    for shot, row in known.items():
        place, dropped = positions.get(shot, row.position), shot not in positions
        if (place, dropped) != (row.position, row.dropped):
            values = {"position": place, "dropped": dropped, "updated": now}
            connection.execute(_SET_SHOT, {"of_batch": batch.name, "of_shot": shot, **values})


def _check_begun(connection: Connection, batch: Batch, started: StartRecord) -> None:
    recorded = connection.execute(select(batches.c.request).where(batches.c.name == batch.name)).scalar() or {}
    if all(recorded.get(name, read) in (read, started.request.get(name)) for name, read in started.begun.items()):
        return
    raise BegunElsewhere(
        f"Another process has begun {batch.name} meanwhile, with other default models or on another route. Nothing was "
        "sent. Run the same command again: it goes on with those."
    )


def _forget_no_jobs(connection: Connection, batch: str) -> None:
    """Delete clip jobs without a model, for which nothing was or can be sent.

    Until 2026-11 stills beside clips left such jobs behind.
    """
    for keys in at_once(list(connection.execute(_NO_JOBS, {"of_batch": batch}).scalars())):
        connection.execute(delete(wants).where(wants.c.job_key.in_(keys), wants.c.batch == batch))
        still_wanted = select(wants.c.job_key)
        connection.execute(delete(jobs).where(jobs.c.key.in_(keys), jobs.c.key.not_in(still_wanted)))


def put_batch(connection: Connection, batch: Batch, now: datetime, request: Mapping[str, Any] | None) -> None:
    """Insert the batch, or update its manifest; its money stays as it is."""
    manifest: dict[str, Any] = {
        "manifest_uri": batch.manifest_uri,
        "manifest_sha256": batch.manifest_sha256,
        "updated": now,
    }
    if request is not None:
        manifest["request"] = dict(request)
    if connection.execute(update(batches).where(batches.c.name == batch.name).values(manifest)).rowcount:
        return
    connection.execute(
        insert(batches).values(
            name=batch.name,
            campaign=batch.campaign,
            edition=batch.edition,
            mode=batch.mode,
            reserved_usd=ZERO,
            spent_usd=ZERO,
            created=now,
            **manifest,
        )
    )


def set_shot(connection: Connection, now: datetime, batch: str, shot: str, status: ShotStatus) -> None:
    """Record the state of a shot; LedgerError when the batch has no such shot."""
    reason = {"reason_kind": status.kind, "reason": bounded(status.reason)}
    values = {"state": status.state, "step": status.step, **reason, "updated": now}
    if not change(connection, _SET_SHOT, {"of_batch": batch, "of_shot": shot, **values}):
        raise LedgerError(f"Batch {batch!r} has no shot {shot!r}. Nothing was recorded. Call open_batch first.")


def shots_of(connection: Connection, batch: str) -> list[ShotRow]:
    """Return the shots that the manifest has, in its order."""
    columns = [shots.c[name] for name in ShotRow.__slots__]
    statement = select(*columns).where(shots.c.batch == batch, ~shots.c.dropped).order_by(shots.c.position)
    return [ShotRow(*row) for row in connection.execute(statement)]


def shots_among(connection: Connection, batch: str, wanted: Sequence[str]) -> list[ShotRow]:
    """Return some of the shots that the manifest has."""
    columns = [shots.c[name] for name in ShotRow.__slots__]
    statement = select(*columns).where(shots.c.batch == batch, ~shots.c.dropped)
    asked = (statement.where(shots.c.shot.in_(some)) for some in at_once(wanted))
    return [ShotRow(*row) for each in asked for row in connection.execute(each)]


def ever_of(connection: Connection, batch: str) -> list[str]:
    """Return every shot that the batch ever had, in the order of its manifest."""
    statement = select(shots.c.shot).where(shots.c.batch == batch).order_by(shots.c.position, shots.c.shot)
    return list(connection.execute(statement).scalars())


def counts(connection: Connection, batch: str) -> dict[ShotOutcome, int]:
    """Count the shots of the manifest in each state; every state has an entry."""
    statement = (
        select(shots.c.state, func.count()).where(shots.c.batch == batch, ~shots.c.dropped).group_by(shots.c.state)
    )
    found: dict[ShotOutcome, int] = {state: number for state, number in connection.execute(statement)}  # noqa: C416
    return {state: found.get(state, 0) for state in ShotOutcome}


def all_batches(connection: Connection) -> list[BatchRow]:
    """Return every batch, the one updated last first."""
    statement = select(batches).order_by(batches.c.updated.desc(), batches.c.name)
    return [
        BatchRow(
            Batch(row.campaign, row.edition, row.mode, row.manifest_uri, row.manifest_sha256),
            row.reserved_usd,
            row.spent_usd,
            row.created,
            row.updated,
            row.request,
        )
        for row in connection.execute(statement)
    ]
