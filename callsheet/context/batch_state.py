"""What changes while one process works on a batch.

It is changed by its own methods alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from callsheet.archive.layout import folder_name
from callsheet.archive.sidecar import Sidecar
from callsheet.clock import Clock
from callsheet.context.gates import RouteGate
from callsheet.context.progress import Progress, RunCounts
from callsheet.context.shot_state import ShotState
from callsheet.decisions import FrameDecision
from callsheet.errors import CallsheetError, Stopped
from callsheet.ledger import Job
from callsheet.plan import Known, Plan
from callsheet.shots import Asset, Shot

# How often a long rest looks at the clock, real seconds.
LOOK_S = 30.0

# A sidecar of this run, with the sha256 of its bytes where it is known.
StoredSidecar = tuple[Sidecar, str | None]


@dataclass
class BatchState:
    """The shots' work so far, and whether anything new may be sent.

    Also what was found and made.
    """

    #: What the steps have made of each shot, by its id.
    work: dict[str, ShotState] = field(default_factory=dict)
    #: The archived files by shot and name.
    assets: dict[str, dict[str, Asset]] = field(default_factory=dict)
    #: The names in the batch's folder when it was surveyed, and those that were found since.
    files: frozenset[str] = frozenset()
    #: The decisions about frames that people had taken when the run was planned, by shot.
    decisions: Mapping[str, tuple[FrameDecision, ...]] = field(default_factory=dict)
    #: Everything that the survey found.
    known: Known = field(default_factory=Known)
    #: The jobs of earlier versions of a shot, by shot and slot.
    earlier: Mapping[tuple[str, str], Job] = field(default_factory=dict)
    #: The sidecars that this run has written or read, by shot.
    sidecars: dict[str, StoredSidecar] = field(default_factory=dict)
    #: What the run set out to do; None before the batch is opened.
    plan: Plan | None = None
    #: How many results there are, for the summary.
    tally: RunCounts = field(default_factory=RunCounts)
    #: How far the batch is, for people who watch it.
    progress: Progress = field(default_factory=Progress)
    #: The error after which nothing new is sent: a person's stop, say.
    halted: CallsheetError | None = None
    #: Set when all waiting ends as well.
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    #: How many shots an error of callsheet's own has ended.
    crashed: int = 0
    #: How many results cannot be written down at the moment. Nothing new is sent until there are none.
    troubled: int = 0
    #: When a model's full day is over (time of the clock), by model.
    full_until: dict[str, datetime] = field(default_factory=dict)
    #: Why a route takes no requests, by its quota's scope: a bad key, or credits that are used up.
    gates: dict[str, RouteGate] = field(default_factory=dict)
    #: Lets two shots that want the same job share it in this process, as the ledger does between processes; by key.
    flights: dict[str, asyncio.Lock] = field(default_factory=dict)

    #: What the ledger told last of what shots are made of, by their parents: many may wait for one.
    heard: dict[str, tuple[object, Known]] = field(default_factory=dict)

    def hold(self, shots: Sequence[Shot]) -> list[ShotState]:
        """Return the shots' work, begun when it is not there yet."""
        return [self.work.setdefault(shot.id, ShotState(shot)) for shot in shots]

    def renew(self, shots: Iterable[Shot]) -> None:
        """Work on these shots once more, from the beginning."""
        self.work |= {shot.id: ShotState(shot) for shot in shots}

    def shot_now(self, shot: Shot) -> Shot:
        """Return a shot with what is known by now of the pictures it is made of."""
        return self.work[shot.id].shot if shot.id in self.work else shot

    def begin(self, works: Iterable[ShotState]) -> None:
        """Work on these shots and no others."""
        self.work = {work.shot.id: work for work in works}

    def set_plan(self, plan: Plan) -> None:
        """Go by this plan."""
        self.plan = plan

    def flight(self, key: str) -> asyncio.Lock:
        """Return the lock under which this process works on the job `key`."""
        return self.flights.setdefault(key, asyncio.Lock())

    def gate(self, scope: str) -> RouteGate:
        """Return the gate of the route whose quota has this scope."""
        return self.gates.setdefault(scope, RouteGate(scope))

    def remember(self, known: Known, folder_uri: str) -> None:
        """Take over what a survey found.

        An asset whose file is not there is forgotten, and so written again.

        `folder_uri` is the batch's folder in this archive: the ledger may have addresses from where the batch was
        before.
        """
        self.files, self.decisions, self.earlier = known.files, known.decisions, known.earlier
        self.known = known
        for shot, assets in known.assets.items():
            folder = f"shots/{folder_name(shot)}"
            there = (a for a in assets if f"{folder}/{a.name}" in known.files)
            self.set_assets(shot, {a.name: replace(a, uri=f"{folder_uri}/{folder}/{a.name}") for a in there})

    def assets_of(self, shot: Shot) -> list[Asset]:
        """Return the archived files of a shot that this process knows of."""
        return list(self.assets.get(shot.id, {}).values())

    def set_assets(self, shot: str, assets: Mapping[str, Asset]) -> None:
        """Let these, by name, be the shot's archived files."""
        self.assets[shot] = dict(assets)

    def add_asset(self, asset: Asset) -> None:
        """Add an archived file to those of its shot."""
        self.assets.setdefault(asset.shot, {})[asset.name] = asset

    def add_file(self, name: str) -> None:
        """Add a name that was found in the batch's folder."""
        self.files |= {name}

    def keep_sidecars(self, sidecars: Mapping[str, StoredSidecar]) -> None:
        """Keep these sidecars, by shot, in place of what was known of them."""
        self.sidecars.update(sidecars)

    def set_tally(self, tally: RunCounts) -> None:
        """Count what others have made instead of what this process has."""
        self.tally = tally

    def count_crashes(self, count: int = 1) -> None:
        """Count shots that an error of callsheet's own has ended."""
        self.crashed += count

    def note_full(self, model: str, until: datetime) -> bool:
        """Note until when (clock time) a model's day is full; False when that was known."""
        is_news = self.full_until.get(model) != until
        self.full_until[model] = until
        return is_news

    @asynccontextmanager
    async def trouble(self) -> AsyncIterator[None]:
        """Let nothing new be sent while the block runs.

        Something paid for cannot be written down.
        """
        self.troubled += 1
        try:
            yield
        finally:
            self.troubled -= 1

    def stop(self) -> None:
        """Send nothing new and wait for nothing more.

        Requests that are on their way are let finish.
        """
        self.halt(self.halted or Stopped("Stopped before it was done. Run the same command again to continue."))

    def halt(self, error: CallsheetError) -> None:
        """Send nothing new and wait for nothing more, because of this error."""
        self.halted = error
        self.stopping.set()

    async def rest(self, clock: Clock, seconds: float) -> None:
        """Sleep `seconds` of the clock's time.

        Raises Stopped as soon as the run is stopped.
        """
        until, left_s = clock.now() + timedelta(seconds=seconds), seconds / clock.factor
        while True:
            # A timer stands still while the machine sleeps, the clock does not: so it is looked at now and then.
            await self.rest_really(min(left_s, LOOK_S))
            left_s = (until - clock.now()).total_seconds() / clock.factor
            if left_s <= 0:
                return

    async def rest_really(self, seconds: float) -> None:
        """Sleep real seconds, for what does not depend on the provider.

        Raises as `rest` does.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self.stopping.wait()
        if self.stopping.is_set() and self.halted is not None:
            raise self.halted

    async def await_event(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for an event, at most so many real seconds.

        Raises as `rest` does.
        """
        waits = [asyncio.ensure_future(one.wait()) for one in (event, self.stopping)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
        if self.stopping.is_set() and self.halted is not None:
            raise self.halted

    def for_other_batch(self) -> BatchState:
        """Return the state for another batch of this process.

        The shots' work and files are its own.
        """
        return replace(self, assets={}, work={})
