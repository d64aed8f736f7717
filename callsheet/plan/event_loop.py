"""A small discrete-event simulation of processes that wait.

Processes are generators that say what they wait for; time jumps from one to the next. A process yields seconds to
sleep, a `Room` to get a place in, or a list of processes to run to their end beside each other. Everything happens in
the order of time, then of coming, so equal inputs give equal runs.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Generator, Sequence
from typing import Any, Union

Step = Union[float, "Room", Sequence["Process"]]
Process = Generator[Step, Any, None]


class Room:
    """A number of places; a process that finds none free waits in line.

    The holder gives its place back with `leave`.
    """

    def __init__(self, simulation: Simulation, places: int) -> None:
        self._simulation = simulation
        self._free = places
        self._line: deque[_Running] = deque()

    def enter(self, running: _Running) -> bool:
        """Take a place now, or stand in line to continue later (False)."""
        if self._free > 0:
            self._free -= 1
            return True
        self._line.append(running)
        return False

    def leave(self) -> None:
        """Give a place back, to the next in line."""
        if self._line:
            self._simulation.wake(self._line.popleft())
        else:
            self._free += 1


class _Running:
    """A process under way, and the one that waits for it and its siblings."""

    __slots__ = ("children", "parent", "process")

    def __init__(self, process: Process, parent: _Running | None) -> None:
        self.process = process
        self.parent = parent
        self.children = 0


class Simulation:
    """Runs processes on a clock of its own, `now`, in seconds from 0."""

    def __init__(self) -> None:
        self.now = 0.0
        self._number = 0
        self._events: list[tuple[float, int, _Running]] = []

    def start(self, process: Process) -> None:
        """Let a process begin now."""
        self.wake(_Running(process, None))

    def wake(self, running: _Running, after_s: float = 0.0) -> None:
        """Continue a process, after everything that is due before then."""
        self._number += 1
        heapq.heappush(self._events, (self.now + after_s, self._number, running))

    def run(self) -> float:
        """Run until no process has anything left to do; return the time then."""
        events = self._events
        while events:
            self.now, _, running = heapq.heappop(events)
            self._advance(running)
        return self.now

    def _advance(self, running: _Running) -> None:
        """Run a process until it has to wait."""
        while True:
            try:
                step = next(running.process)
            except StopIteration:
                self._end(running)
                return
            if isinstance(step, float):
                self.wake(running, step)
                return
            if isinstance(step, Room):
                if not step.enter(running):
                    return
            elif step:
                running.children = len(step)
                for process in step:
                    self.wake(_Running(process, running))
                return

    def _end(self, running: _Running) -> None:
        parent = running.parent
        if parent is not None:
            parent.children -= 1
            if parent.children == 0:
                self.wake(parent)
