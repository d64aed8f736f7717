"""The service's clock, which goes on where it was when the service starts again on the same state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from callsheet.clock import Clock
from callsheet.rehearsal.state import State


def continued_clock(state: State, factor: float) -> Clock:
    """The clock of this state with this factor; its first start sets the origin, later ones keep it."""
    origin, old = state.fact("origin"), state.fact("factor")
    if origin is None or old is None:
        clock = Clock(factor)
    elif float(old) == factor:
        clock = Clock(factor, datetime.fromisoformat(origin))
    else:
        now = Clock(float(old), datetime.fromisoformat(origin)).now()
        clock = Clock(factor, _origin(now, factor))
    state.remember("origin", clock.origin.isoformat())
    state.remember("factor", repr(factor))
    return clock


def _origin(now: datetime, factor: float) -> datetime:
    """The origin from which a clock of this factor reads `now` at this moment.

    A factor of 1 is the real time and knows no origin: service time then steps back to it.
    """
    real = datetime.now(UTC)
    if factor == 1.0:
        return real
    return real - timedelta(seconds=(now - real).total_seconds() / (factor - 1))
