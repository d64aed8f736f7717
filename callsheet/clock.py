"""Clocks as values: the real one, and a faster one for rehearsals and tests."""

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
    """Return the real time in UTC, which never jumps.

    It is the wall clock when this process started, plus the time that has passed since, so that quota windows,
    deadlines and days stay what they are when the wall clock is set. NTP's gradual corrections are followed, and so is
    the time that the machine slept (suspend). A process that has to learn of a step, after a virtual machine was
    paused, say, is started again: every run can be.
    """
    return _STARTED + timedelta(seconds=time.clock_gettime(_TICKS) - _TICK)


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock that reads the time and sleeps, at `factor` times real speed.

    A `factor` of 60 makes a minute pass in a second, counted from `origin`. Every process with the same factor and
    origin reads the same time, unless the wall clock was set between their starts.
    """

    factor: float = 1.0
    origin: datetime = field(default_factory=real_now)

    def now(self) -> datetime:
        """Return the time in UTC; within a process it never jumps and never goes back."""
        real = real_now()
        if self.factor == 1.0:
            return real
        return self.origin + timedelta(seconds=(real - self.origin).total_seconds() * self.factor)

    def real(self, moment: datetime) -> datetime:
        """Return the real time at which this clock shows `moment`.

        It is the same in every process with this factor and origin.
        """
        return moment if self.factor == 1.0 else self.origin + (moment - self.origin) / self.factor

    async def sleep(self, seconds: float) -> None:
        """Sleep `seconds` of this clock's time."""
        until = time.clock_gettime(_TICKS) + max(0.0, seconds) / self.factor
        left = until - time.clock_gettime(_TICKS)
        while left > _LOOK_S:
            await asyncio.sleep(_LOOK_S)
            left = until - time.clock_gettime(_TICKS)
        await asyncio.sleep(max(0.0, left))
