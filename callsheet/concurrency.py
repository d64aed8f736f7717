"""Limits on work that runs at the same time, most urgent work first."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, TypeVar


class PrioritySemaphore:
    """A semaphore for `most` callers that serves the lowest rank first.

    Equal ranks are served in the order of arrival. Belongs to one event loop.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._numbers = count()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, rank: float = 0.0) -> AsyncIterator[None]:
        """Wait for a place and keep it until the block ends."""
        await self._acquire(rank)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, rank: float) -> None:
        if self._free > 0 and not self._waiting:
            self._free -= 1
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, next(self._numbers), mine))
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # the turn was given in the moment of cancellation: pass it on
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            _, _, next_one = heapq.heappop(self._waiting)
            if not next_one.done():
                next_one.set_result(None)
                return
        self._free += 1


Result = TypeVar("Result")


async def gather_all(parts: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Run the parts side by side, each to its end; then raise the first error.

    Returns their results in the order of the parts. A part is never cancelled because of another: it may be in the
    middle of something paid.
    """
    tasks = [asyncio.ensure_future(part) for part in parts]
    await asyncio.gather(*tasks, return_exceptions=True)
    # An error that a part returned is its result; one that it raised is raised here.
    return [task.result() for task in tasks]


async def gather_bounded(most: int, parts: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Run the parts, at most `most` at once, each to its end.

    Only then the first error is raised.
    """
    limit = asyncio.Semaphore(most)

    async def run(part: Coroutine[Any, Any, Result]) -> Result:
        async with limit:
            return await part

    return await gather_all(run(part) for part in parts)
