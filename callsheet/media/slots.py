"""How many encoders run at once: bounded by their number and by the memory they are expected to take."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

SMALL_MB = 64
_CGROUP = Path("/sys/fs/cgroup/memory.max")  # control groups, version 2


class EncoderSlots:
    """A semaphore of encoders: at most `count` at once, of at most `memory_mb` together; a larger one runs alone."""

    def __init__(self, count: int = 2, memory_mb: int | None = None) -> None:
        self._count, self._memory_mb = count, memory_mb or machine_mb() // 2
        self._running, self._taken_mb = 0, 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def take(self, memory_mb: int = SMALL_MB) -> AsyncIterator[None]:
        """A place for one encoder that needs so much memory, waited for."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._has_room(memory_mb))
            self._running, self._taken_mb = self._running + 1, self._taken_mb + memory_mb
        try:
            yield
        finally:
            async with self._changed:
                self._running, self._taken_mb = self._running - 1, self._taken_mb - memory_mb
                self._changed.notify_all()

    def _has_room(self, memory_mb: int) -> bool:
        fits = self._taken_mb + memory_mb <= self._memory_mb
        return self._running < self._count and (fits or not self._running)


def machine_mb() -> int:
    """The memory of this machine in MB, or of the container that this process runs in."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = int(_CGROUP.read_text())
    except (OSError, ValueError):  # no such file, or "max": there is no limit
        limit = whole
    return min(whole, limit) // 2**20
