"""How the process of a command ends when Prefect's threads in it still try to reach a server that is gone."""

from __future__ import annotations

import os
import sys
from threading import Event

_AT_ONCE = Event()


def leave_at_once() -> None:
    """Have this process end as soon as its command has: nobody takes what Prefect has still to send.

    Prefect waits at exit until each event and log line was tried, some seconds each, and a batch has hundreds (3.8.8).
    """
    _AT_ONCE.set()


def end_if_asked(code: object) -> None:
    """End this process with the exit code now, when it is to leave at once."""
    if _AT_ONCE.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
