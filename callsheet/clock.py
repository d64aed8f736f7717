"""Time as a value that can be given: the real clock, and one that runs faster for rehearsals and tests."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

# Linux: goes on while the machine sleeps. Elsewhere the monotonic clock has to do, which may stand still then.
_TICKS = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# Both read once: what is set afterwards by a person or by NTP in one step does not reach this process.
_STARTED, _TICK = datetime.now(UTC), time.clock_gettime(_TICKS)
# A sleep is looked at this often (real seconds), for a timer stands still while the machine sleeps.
_LOOK_S = 30.0


def real_now() -> datetime:
    """The real time in UTC: the wall clock when this process started, and the time that has passed since.

    It never jumps, so that quota windows, deadlines and days stay what they are when the wall clock is set. NTP's
    gradual corrections are followed, and so is the time that the machine slept (suspend). A process that has to learn
    of a step, after a virtual machine was paused, say, is started again: every run can be.
    """
    return _STARTED + timedelta(seconds=time.clock_gettime(_TICKS) - _TICK)


@dataclass(frozen=True, slots=True)
class Clock:
    """Tells the time and sleeps. `factor` 60 makes a minute pass in a second, counted from `origin`.

    Every process that is given the same factor and origin reads the same time, unless the wall clock was set between
    their starts.
    """

    factor: float = 1.0
    origin: datetime = field(default_factory=real_now)

    def now(self) -> datetime:
        """The time, in UTC. Never jumps and never goes back within a process."""
        real = real_now()
        if self.factor == 1.0:
            return real
        return self.origin + timedelta(seconds=(real - self.origin).total_seconds() * self.factor)

    def real(self, moment: datetime) -> datetime:
        """The real time at which this clock shows `moment`; the same in every process with this factor and origin."""
        return moment if self.factor == 1.0 else self.origin + (moment - self.origin) / self.factor

    async def sleep(self, seconds: float) -> None:
        """Sleep `seconds` of this clock's time."""
        until = time.clock_gettime(_TICKS) + max(0.0, seconds) / self.factor
        left = until - time.clock_gettime(_TICKS)
        while left > _LOOK_S:
            await asyncio.sleep(_LOOK_S)
            left = until - time.clock_gettime(_TICKS)
        await asyncio.sleep(max(0.0, left))
