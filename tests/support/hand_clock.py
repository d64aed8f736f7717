"""A clock for tests that stands still until it is set, or until somebody sleeps by it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from callsheet.clock import Clock


class HandClock(Clock):
    """Reads the time it was set to. Who sleeps moves it on at once, so nobody waits."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.set(at)

    def set(self, at: datetime) -> None:
        object.__setattr__(self, "_at", at)  # clocks are frozen

    def now(self) -> datetime:
        at: datetime = self._at  # type: ignore[attr-defined]
        return at

    async def sleep(self, seconds: float) -> None:
        self.set(self.now() + timedelta(seconds=max(0.0, seconds)))
        await asyncio.sleep(0)
