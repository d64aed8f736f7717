"""Time as a value that can be given: the real clock, and one that runs faster for rehearsals and tests."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Clock:
    """Tells the time and sleeps. `factor` 60 makes a minute pass in a second, counted from `origin`.

    Every process that is given the same factor and origin reads the same time.
    """

    factor: float = 1.0
    origin: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        """The time, in UTC."""
        real = datetime.now(UTC)
        if self.factor == 1.0:
            return real
        return self.origin + timedelta(seconds=(real - self.origin).total_seconds() * self.factor)

    async def sleep(self, seconds: float) -> None:
        """Sleep `seconds` of this clock's time."""
        await asyncio.sleep(max(0.0, seconds) / self.factor)
