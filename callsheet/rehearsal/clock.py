"""The service's clock, which continues when the service starts again.

It goes on where it was on the same state.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from callsheet.clock import Clock, real_now
from callsheet.rehearsal.config import LatencyConfig
from callsheet.rehearsal.process import Running, service_at
from callsheet.rehearsal.state import State

NOTE_EVERY_S = 1.0


def continued_clock(state: State, factor: float) -> Clock:
    """Return the clock of this state with this factor.

    Its first start sets the origin; time stands still between starts. So an operation of a rehearsal that was killed
    does not expire before it is continued, a day later, for example.
    """
    clock = clock_to_continue(state, factor)
    state.remember("origin", clock.origin.isoformat())
    state.remember("factor", repr(factor))
    return clock


def clock_to_continue(state: State, factor: float) -> Clock:
    """Return the clock that a service started now would continue; change nothing."""
    origin, old = state.fact("origin"), state.fact("factor")
    if origin is None or old is None:
        return Clock(factor)
    before = Clock(float(old), datetime.fromisoformat(origin))
    now, ended = before.now(), _read_last_noted(state, float(old))
    return before if float(old) == factor and now <= ended else Clock(factor, _compute_origin(min(now, ended), factor))


async def note_time(state: State, clock: Clock) -> None:
    """Note the time repeatedly, until cancelled: the next start continues there."""
    while True:
        state.remember("noted", clock.now().isoformat())
        await asyncio.sleep(NOTE_EVERY_S)


def _read_last_noted(state: State, factor: float) -> datetime:
    """Return the latest time that the service can have seen.

    It is one interval after the last note, so no time passes twice.
    """
    noted = state.fact("noted")
    if noted is None:
        return datetime.max.replace(tzinfo=UTC)
    return datetime.fromisoformat(noted) + timedelta(seconds=NOTE_EVERY_S * factor)


def _compute_origin(now: datetime, factor: float) -> datetime:
    """Return the origin from which a clock of this factor reads `now` at this moment.

    A factor of 1 is the real time and knows no origin: service time then steps back to it.
    """
    real = real_now()
    if factor == 1.0:
        return real
    return real - timedelta(seconds=(now - real).total_seconds() / (factor - 1))


def glance(state_dir: Path, factor: float, url: str | None = None) -> tuple[Clock, LatencyConfig]:
    """Return the clock and the latency of a service.

    That is the service at `url`, else the one that serves, or last served, `state_dir`. A service that rests has its
    time standing still; one that was never started begins at the real time.
    """
    running = service_at(url) if url else _find_serving(state_dir)
    if running is not None:
        return running.clock, running.latency
    database = state_dir / "rehearsal.db"
    if url or not database.exists():
        return Clock(1.0 if url else factor), LatencyConfig()
    with closing(State(database)) as state:
        return clock_to_continue(state, factor), LatencyConfig()


def _find_serving(state_dir: Path) -> Running | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads((state_dir / "service.json").read_text(encoding="utf-8"))
        running = service_at(str(known["url"]))
        if running is not None and running.pid == int(known["pid"]):
            return running
    return None
