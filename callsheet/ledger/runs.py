"""Runs that work on a batch, so that the last one knows that it is the last."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, delete, insert, select, update

from callsheet.ledger.owners import is_alive, is_dead
from callsheet.ledger.tables import batch_runs


def enter(connection: Connection, _now: datetime, batch: str, owner: str, until: datetime) -> None:
    """Record that the owner works on the batch."""
    _remove(connection, owner, batch)
    connection.execute(insert(batch_runs), {"batch": batch, "owner": owner, "lease_until": until})


def leave(connection: Connection, _now: datetime, batch: str, owner: str) -> bool:
    """Record that the owner's run of the batch ended; True when nobody else has one."""
    _remove(connection, owner, batch)
    rows = connection.execute(select(batch_runs).where(batch_runs.c.batch == batch)).all()
    for row in rows:
        if not is_at_work(row.owner, row.lease_until):
            _remove(connection, row.owner, batch)
    return not any(is_at_work(row.owner, row.lease_until) for row in rows)


def leave_all(connection: Connection, owner: str) -> None:
    """Record that the owner works on no batch any more."""
    connection.execute(delete(batch_runs).where(batch_runs.c.owner == owner))


def renew(connection: Connection, owner: str, until: datetime) -> None:
    """Prolong the owner's leases."""
    connection.execute(update(batch_runs).where(batch_runs.c.owner == owner).values(lease_until=until))


def is_at_work(owner: str, lease_until: datetime | None) -> bool:
    """Return whether the owner of a lease is not dead, and its lease is not over.

    What is seen to live on this machine is at work: a lease that looks over is then one of a wall clock that was set,
    or of a machine that was asleep. Of another machine's process only the lease is known.
    """
    expired = lease_until is None or lease_until <= datetime.now(UTC)
    return not is_dead(owner) and (not expired or is_alive(owner))


def _remove(connection: Connection, owner: str, batch: str) -> None:
    connection.execute(delete(batch_runs).where(batch_runs.c.owner == owner, batch_runs.c.batch == batch))
