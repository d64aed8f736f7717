"""Names of lease owners, from which one can see whether their process lives.

An owner is a process, named so that another process on the same machine can see it.
"""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

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
