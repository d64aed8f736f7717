"""Names of lease owners, and the runs that work on a batch.

An owner is a process, named so that another process on the same machine can see whether it lives. Runs are on record so
that the last one knows that it is the last.
"""

from __future__ import annotations

import os
import secrets
import socket
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, delete, insert, select, update

from callsheet.ledger.tables import batch_runs

# The owners that are ledgers of this very process, still open.
_open: set[str] = set()


def new_owner() -> str:
    """Create the name `host:pid:start:random` for a ledger of this process.

    It is unique, and alive until it is given to `forget`.
    """
    pid = os.getpid()
    owner = f"{_identify_machine()}:{pid}:{_read_start_token(pid)}:{secrets.token_hex(4)}"
    _open.add(owner)
    return owner


def forget(owner: str) -> None:
    """Close the owner: it will not act any more, though its process goes on."""
    _open.discard(owner)


def is_dead(owner: str) -> bool:
    """Return whether the owner was of this machine and will never act again.

    False when it is alive, or when that cannot be known.
    """
    return _is_running(owner) is False


def is_alive(owner: str) -> bool:
    """Return whether the owner is of this machine and still runs.

    False when it is dead, or when that cannot be known.
    """
    return _is_running(owner) is True


def _is_running(owner: str) -> bool | None:
    """Return whether the owner's process runs; None when that cannot be known here."""
    machine, _, rest = owner.rpartition(":")[0].partition(":")
    pid_text, _, start = rest.partition(":")
    if machine != _identify_machine() or not pid_text.isdigit():
        return None
    pid = int(pid_text)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it lives, under another user
    token = _read_start_token(pid)
    if not (start and token):
        return None
    if token != start:
        return False
    return pid != os.getpid() or owner in _open


def _identify_machine() -> str:
    """Return host, boot and PID namespace.

    Only where all three agree does a PID mean the same process.
    """
    parts = [socket.gethostname().replace(":", "-")]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8])
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    except OSError:
        pass  # not Linux: the host name has to do
    return "/".join(parts)


def _read_start_token(pid: int) -> str:
    """Return the start time of a process in clock ticks; "" when it is unknown.

    From proc(5), field 22, so that a reused PID is not mistaken.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    # A zombie still has a PID but will never act again.
    return "zombie" if fields[0] in ("Z", "X") else fields[19]


def enter_run(connection: Connection, _now: datetime, batch: str, owner: str, until: datetime) -> None:
    """Record that the owner works on the batch."""
    _remove(connection, owner, batch)
    connection.execute(insert(batch_runs), {"batch": batch, "owner": owner, "lease_until": until})


def leave_run(connection: Connection, _now: datetime, batch: str, owner: str) -> bool:
    """Record that the owner's run of the batch ended; True when nobody else has one."""
    _remove(connection, owner, batch)
    rows = connection.execute(select(batch_runs).where(batch_runs.c.batch == batch)).all()
    for row in rows:
        if not is_at_work(row.owner, row.lease_until):
            _remove(connection, row.owner, batch)
    return not any(is_at_work(row.owner, row.lease_until) for row in rows)


def leave_all_runs(connection: Connection, owner: str) -> None:
    """Record that the owner works on no batch any more."""
    connection.execute(delete(batch_runs).where(batch_runs.c.owner == owner))


def renew_runs(connection: Connection, owner: str, until: datetime) -> None:
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
