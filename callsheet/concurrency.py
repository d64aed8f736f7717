"""Turns: at most so many at once, and whoever is most urgent is next."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, TypeVar


class Turns:
    """Lets `most` callers work at the same time; of those that wait, the one with the lowest rank goes first.

    Equal ranks go in the order of their coming. Belongs to one event loop.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._numbers = count()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, rank: float = 0.0) -> AsyncIterator[None]:
        """Wait for a turn and have it until the block ends."""
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


async def all_of(parts: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Run the parts side by side, each to its end, and only then raise the first error.

    A part is never cancelled because of another: it may be in the middle of something paid.
    """
    ended = await asyncio.gather(*parts, return_exceptions=True)
    results: list[Result] = []
    for one in ended:
        if isinstance(one, BaseException):
            raise one
        results.append(one)
    return results
