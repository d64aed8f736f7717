"""A clock for tests that stands still until it is set, or until somebody sleeps by it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from callsheet.clock import Clock


class HandClock(Clock):
    """Reads `at`. Who sleeps moves it on at once, so nobody waits."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.at = at

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=max(0.0, seconds))
        await asyncio.sleep(0)
