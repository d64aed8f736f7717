"""Keeping what was paid for when the disk is full or the database is away.

Hold on to it, tell, and try again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from callsheet.context.context import RunContext
from callsheet.context.shot_state import is_transient
from callsheet.errors import ArchiveError, LedgerError

log = logging.getLogger(__name__)

T = TypeVar("T")

# Real seconds: how long a result is held on to, and the pauses between tries.
HELD_S, FIRST_PAUSE_S, LONGEST_PAUSE_S = 600.0, 0.5, 20.0


async def persist(run: RunContext, write: Callable[[], Awaitable[T]], what: str) -> T:
    """Return the value of `write()`, tried again for ten minutes.

    It is tried again while spool or ledger cannot be written to. `what` names the thing that would be lost, an
    operation say, so that a person who reads the log can save it by hand (`callsheet resolve --adopt`). Nothing new is
    sent meanwhile. Raises the last error when time is up.
    """
    give_up, pause = time.monotonic() + HELD_S, FIRST_PAUSE_S
    while True:
        try:
            return await write()
        except (ArchiveError, LedgerError) as error:
            if not is_transient(error) or time.monotonic() > give_up:
                log.critical("What was paid for could not be kept (%s): %s", what, error)
                raise
            log.warning("%s cannot be kept yet, which is tried again: %s", what, error)
        async with run.state.trouble():
            await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE_S, pause * 2)
