"""The poller of all operations of a process.

It looks often enough, never too often, and first at what expires first. Every operation that is waited for has a
coroutine that sleeps between its looks; what they share is here: how many looks there are at once and a second, whose
turn it is, and what a failed look means.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from callsheet.clock import Clock
from callsheet.concurrency import PrioritySemaphore
from callsheet.errors import (
    Blocked,
    NotAccepted,
    NothingMade,
    OperationExpired,
    OperationFailed,
    OperationOverdue,
    OperationWithheld,
    ProviderError,
    Unauthorised,
)
from callsheet.ledger import records
from callsheet.models import Model
from callsheet.providers.protocol import VideoProvider, VideoReady

log = logging.getLogger(__name__)

# Seconds of the clock from one look at an operation to the next: at first, and in the long run. Veo 3.1 takes 11 s to
# 6 min (ai.google.dev/gemini-api/docs/video, read 2026-10).
FIRST_LOOK_S, INTERVAL_S, GROWTH = 4.0, 10.0, 1.5
JITTER = 0.15
# However many operations there are, the provider is not asked more often, in looks a (clock) second and at once.
LOOKS_PER_S, LOOKS_AT_ONCE = 30.0, 16
# In real time, however fast a rehearsal's clock runs: seconds between two looks at one operation, and looks a second.
SHORTEST_S, REAL_LOOKS_PER_S = 0.05, 200.0
# An operation that is not found is looked for again: the answer may come from a replica that has not heard of it.
NOT_FOUND_TIMES = 3
# No operation is given up before this: clock seconds, and real seconds in a fast rehearsal.
PATIENCE_S, REAL_PATIENCE_S = 600.0, 30.0
HINT_MOST_S = 120.0

# What a look may find out about the operation itself; everything else a look raises is trouble on the way to it.
ENDS = (Blocked, NothingMade, OperationFailed, OperationExpired)
FORBIDDEN = 403
# What ends the waiting of this run and leaves the operation as it is.
STOPS = (Unauthorised, OperationWithheld)


@dataclass(frozen=True, slots=True)
class Watch:
    """An operation to wait for.

    Its name, who knows of it, since when it runs (clock time), and for how long to wait. `deadline_s` counts clock
    seconds from the first look.
    """

    operation: str
    provider: VideoProvider
    since: datetime
    deadline_s: float

    @property
    def expires(self) -> datetime:
        """Return when the provider may forget it, at the earliest."""
        return self.since + records.RETENTION


def deadline_s(model: Model, setting: float | None = None) -> float:
    """Return how long to wait for a video of this model, in clock seconds.

    The setting, else four times its longest time.
    """
    return setting if setting is not None else max(PATIENCE_S, 4 * model.latency_s.max)


def interval_s(looks: int, waiting: int) -> float:
    """Return the clock seconds until the next look at an operation.

    It was looked at `looks` times, beside `waiting` others.
    """
    alone = min(INTERVAL_S, FIRST_LOOK_S * GROWTH ** min(looks, 10))
    return max(alone, waiting / LOOKS_PER_S)


class Poller:
    """Waits for operations.

    `rest` sleeps clock seconds and may raise to end the waiting.
    """

    def __init__(self, clock: Clock, rest: Callable[[float], Awaitable[None]]) -> None:
        self._clock = clock
        self._rest = rest
        self._turns = PrioritySemaphore(LOOKS_AT_ONCE)
        self._waiting = 0

    async def result(self, watch: Watch) -> VideoReady:
        """Return the video of an operation, once it is done.

        Its outcome is raised when that is no video.

        Trouble on the way to it (no connection, an overloaded or wrongly configured server, a reply that cannot be
        read) changes nothing: the operation goes on, and is looked at again. OperationOverdue after the deadline,
        Unauthorised when looking is not allowed any more, OperationWithheld when the provider does not show it although
        its retention is not over: the operation is not lost by any of them.
        """
        self._waiting += 1
        try:
            return await self._wait(watch)
        finally:
            self._waiting -= 1

    async def look(self, watch: Watch) -> VideoReady | None:
        """Look once, when it is this operation's turn: the video, None while it runs.

        Raises what the look raises.
        """
        async with self._turns.turn(watch.expires.timestamp()):
            return await watch.provider.poll(watch.operation)

    async def find(self, watch: Watch) -> VideoReady | None:
        """Look, and look again when it is not found.

        OperationExpired only once its retention is over.

        OperationWithheld when it stays away before that.
        """
        for tried in count(1):
            try:
                return await self.look(watch)
            except (OperationExpired, Unauthorised) as error:
                if tried == NOT_FOUND_TIMES or self.is_over(watch) or isinstance(error, Unauthorised):
                    raise self.judged(watch, error) from None
            await self._rest(FIRST_LOOK_S)
        raise AssertionError

    def is_over(self, watch: Watch) -> bool:
        """Return whether the provider may have forgotten the operation by now."""
        return self._clock.now() > watch.expires

    def judged(self, watch: Watch, error: OperationExpired | Unauthorised) -> ProviderError:
        """Judge a provider's word that an operation or its file is gone.

        Or that it is not for this key to see.

        The end when its retention is over; else it is withheld. A key that is no good at all stays Unauthorised.
        """
        if isinstance(error, Unauthorised) and error.status != FORBIDDEN:
            return error
        if self.is_over(watch):
            return OperationExpired(str(error), reason=error.reason, status=error.status)
        return OperationWithheld(
            f"{error} {watch.operation} was paid for and is not submitted again. It is looked for until "
            f"{watch.expires:%Y-%m-%d %H:%M} UTC: run the same command again, or `callsheet recover`.",
            reason=error.reason,
            status=error.status,
        )

    async def _wait(self, watch: Watch) -> VideoReady:
        loop, looks = asyncio.get_running_loop(), 0
        started, trouble = loop.time(), ""
        while True:
            hint = 0.0
            try:
                if (ready := await self.find(watch)) is not None:
                    return ready
                trouble = ""
            except (*ENDS, *STOPS):
                raise
            except ProviderError as error:
                trouble = str(error)
                hint = min(HINT_MOST_S, getattr(error, "retry_after_s", None) or 0.0)
                log.log(
                    logging.DEBUG if isinstance(error, NotAccepted) else logging.WARNING,
                    "Looking at %s failed; it is looked at again: %s", watch.operation, error,
                )  # fmt: skip
            if self._overdue(watch, loop.time() - started):
                raise _overdue(watch, trouble)
            await self._rest(max(hint, self._pause_s(looks)))
            looks += 1

    def _pause_s(self, looks: int) -> float:
        spread = 1 + JITTER * (2 * random.random() - 1)  # noqa: S311  spreads load, no secret
        shortest_s = max(SHORTEST_S, self._waiting / REAL_LOOKS_PER_S) * self._clock.factor
        return max(shortest_s, interval_s(looks, self._waiting)) * spread

    def _overdue(self, watch: Watch, real_s: float) -> bool:
        return real_s * self._clock.factor > watch.deadline_s and real_s > min(watch.deadline_s, REAL_PATIENCE_S)


def _overdue(watch: Watch, trouble: str) -> OperationOverdue:
    last = f" The last look failed: {trouble}" if trouble else ""
    return OperationOverdue(
        f"{watch.operation} was not done within {watch.deadline_s:.0f} s. It was paid for and may still finish: run "
        f"the same command again, or `callsheet recover`; it is not submitted again.{last}"
    )
