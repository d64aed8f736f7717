"""A look at the rehearsal service without starting it: what time it would be there, and how long requests take."""

from __future__ import annotations

import json
from contextlib import closing, suppress
from pathlib import Path

from callsheet.clock import Clock
from callsheet.rehearsal.config import Latency
from callsheet.rehearsal.process import Running, service_at
from callsheet.rehearsal.state import State
from callsheet.rehearsal.timeline import clock_to_continue


def glance(state_dir: Path, factor: float, url: str | None = None) -> tuple[Clock, Latency]:
    """The clock and the latency of the service at `url`, else of the one that serves, or last served, `state_dir`.

    A service that rests has its time standing still; one that was never started begins at the real time.
    """
    running = service_at(url) if url else _serving(state_dir)
    if running is not None:
        return running.clock, running.latency
    database = state_dir / "rehearsal.db"
    if url or not database.exists():
        return Clock(1.0 if url else factor), Latency()
    with closing(State(database)) as state:
        return clock_to_continue(state, factor), Latency()


def _serving(state_dir: Path) -> Running | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads((state_dir / "service.json").read_text(encoding="utf-8"))
        running = service_at(str(known["url"]))
        if running is not None and running.pid == int(known["pid"]):
            return running
    return None
