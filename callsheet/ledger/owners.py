"""Who holds a lease: a process, named so that another process on the same machine can see whether it still lives."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path


def new_owner() -> str:
    """`host:pid:start:random` for this process; unique for every ledger that is opened."""
    pid = os.getpid()
    return f"{_machine()}:{pid}:{_start_token(pid)}:{secrets.token_hex(4)}"


def is_dead(owner: str) -> bool:
    """True when the owner was a process of this machine that no longer runs; False when alive or not to be known."""
    machine, _, rest = owner.rpartition(":")[0].partition(":")
    pid_text, _, start = rest.partition(":")
    if machine != _machine() or not pid_text.isdigit():
        return False
    pid = int(pid_text)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives, under another user
    token = _start_token(pid)
    return bool(start and token and token != start)


def _machine() -> str:
    """Host, boot and PID namespace: only where all three agree does a PID mean the same process."""
    parts = [socket.gethostname().replace(":", "-")]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8])
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    except OSError:
        pass  # not Linux: the host name has to do
    return "/".join(parts)


def _start_token(pid: int) -> str:
    """The start time of a process in clock ticks (proc(5), field 22), so a reused PID is not mistaken; "" unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    # A zombie still has a PID but will never act again.
    return "zombie" if fields[0] in ("Z", "X") else fields[19]
