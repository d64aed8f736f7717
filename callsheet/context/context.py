"""The studio: everything one process holds open while it works on a batch, opened and closed together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from callsheet.archive.layout import folder_name
from callsheet.archive.open import open_archive
from callsheet.archive.sidecar import Sidecar
from callsheet.archive.spool import Spool
from callsheet.archive.store import Store
from callsheet.clock import Clock
from callsheet.concurrency import Turns
from callsheet.context.gates import RouteGate
from callsheet.context.poller import Poller
from callsheet.context.progress import Progress, Tally
from callsheet.context.shot_state import Work
from callsheet.decisions import FrameDecision
from callsheet.errors import CallsheetError, Stopped
from callsheet.ledger import Job, JobOrder, Ledger
from callsheet.media.ffmpeg import EncoderSlots
from callsheet.media.signing import Signer
from callsheet.models import Catalogue, Model
from callsheet.plan import Known, Plan
from callsheet.platforms import Platforms, load_platforms
from callsheet.providers import Providers, open_providers
from callsheet.settings import Settings
from callsheet.shots import Asset, Batch, Shot

# Submissions that hold a frame's bytes in memory at the same time: 8 x 30 MB at worst.
SUBMITS_AT_ONCE = 8
DOWNLOADS_AT_ONCE = 8
# How often a long rest looks at the clock, real seconds.
LOOK_S = 30.0


@dataclass
class Studio:
    """The open resources of one batch in one process, and the shots' work so far.

    `halted` is the error after which nothing new is sent (a person's stop, say); `gates` has the same by route (a bad
    key, or credits that are used up); `stopping` also ends all waiting. `flights` lets two shots that want the same job
    share it inside the process, as the ledger does between processes. `assets` holds the archived files by shot and
    name, `sidecars` those of this run by shot, with the hash of their bytes where it is known; `decisions` are those
    that people had taken about frames when the run was planned, `known` all that the survey found then; `crashed`
    counts our own errors. With `wait`, work that does not fit today sleeps until it does; `full_until` tells when a
    model's day is over. `only` names the shots that are worked on (none: all); a `free` run sends nothing that costs. A
    `signer` signs the cuts. While `troubled`, something paid for cannot be written down, and nothing new is sent.
    """

    settings: Settings
    batch: Batch
    catalogue: Catalogue
    clock: Clock
    ledger: Ledger
    store: Store
    spool: Spool
    platforms: Platforms
    providers: Providers
    budget_usd: Decimal | None
    progress: Progress
    wait: bool = False
    only: frozenset[str] = frozenset()
    free: bool = False
    signer: Signer | None = None
    tally: Tally = field(default_factory=Tally)
    work: dict[str, Work] = field(default_factory=dict)
    assets: dict[str, dict[str, Asset]] = field(default_factory=dict)
    files: frozenset[str] = frozenset()
    decisions: Mapping[str, tuple[FrameDecision, ...]] = field(default_factory=dict)
    known: Known = field(default_factory=Known)
    earlier: Mapping[tuple[str, str], Job] = field(default_factory=dict)
    sidecars: dict[str, tuple[Sidecar, str | None]] = field(default_factory=dict)
    plan: Plan | None = None
    halted: CallsheetError | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    crashed: int = 0
    troubled: int = 0
    full_until: dict[str, datetime] = field(default_factory=dict)
    gates: dict[str, RouteGate] = field(default_factory=dict)
    flights: dict[str, asyncio.Lock] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.image_slots = asyncio.Semaphore(self.settings.image_concurrency)
        self.submit_slots = asyncio.Semaphore(SUBMITS_AT_ONCE)
        self.video_slots = asyncio.Semaphore(self.settings.video_concurrency)
        self.encoder_slots = EncoderSlots(self.settings.encoders, self.settings.encoder_memory_mb)
        self.downloads = Turns(DOWNLOADS_AT_ONCE)
        self.poller = Poller(self.clock, self.rest)

    def hold(self, shots: Sequence[Shot]) -> list[Work]:
        """The shots' work, begun when it is not there yet."""
        return [self.work.setdefault(shot.id, Work(shot)) for shot in shots]

    def flight(self, key: str) -> asyncio.Lock:
        """The lock under which this process works on the job `key`."""
        return self.flights.setdefault(key, asyncio.Lock())

    def priced(self, model: str) -> Model:
        """The model with the prices of the clock's day: that on which a request is sent."""
        return self.catalogue.priced_at(self.clock.now()).get(model)

    def gate(self, order: JobOrder) -> RouteGate:
        """The gate of the route that the order's request takes; its scope says whose quota is used."""
        about_people = order.kind == "image" and order.request.get("person_generation") is not None
        scope = self.providers.scope(order.model, about_people=about_people)
        return self.gates.setdefault(scope, RouteGate(scope))

    def remember(self, known: Known) -> None:
        """Take over what a survey found. An asset whose file is not there is forgotten, so that it is written again.

        Addresses are those of this archive: the ledger may have them from where the batch was before.
        """
        self.files, self.decisions, self.earlier = known.files, known.decisions, known.earlier
        self.known = known
        for shot, assets in known.assets.items():
            folder = f"shots/{folder_name(shot)}"
            there = (a for a in assets if f"{folder}/{a.name}" in known.files)
            uri = f"{self.store.uri}/{self.batch.prefix}/{folder}"
            self.assets[shot] = {a.name: replace(a, uri=f"{uri}/{a.name}") for a in there}

    def assets_of(self, shot: Shot) -> list[Asset]:
        """The archived files of a shot that this process knows of."""
        return list(self.assets.get(shot.id, {}).values())

    def wants(self, shot: str) -> bool:
        """Whether this run works on the shot."""
        return not self.only or shot in self.only

    def stop(self) -> None:
        """Send nothing new and wait for nothing more; requests that are on their way are let finish."""
        self.halt(self.halted or Stopped("Stopped before it was done. Run the same command again to continue."))

    def halt(self, error: CallsheetError) -> None:
        """Send nothing new and wait for nothing more, because of this error."""
        self.halted = error
        self.stopping.set()

    async def rest(self, seconds: float) -> None:
        """Sleep `seconds` of the clock's time; raises Stopped as soon as the run is stopped."""
        until, left_s = self.clock.now() + timedelta(seconds=seconds), seconds / self.clock.factor
        while True:
            # A timer stands still while the machine sleeps, the clock does not: so it is looked at now and then.
            await self.rest_really(min(left_s, LOOK_S))
            left_s = (until - self.clock.now()).total_seconds() / self.clock.factor
            if left_s <= 0:
                return

    async def rest_really(self, seconds: float) -> None:
        """The same in real seconds: for what does not depend on the provider."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self.stopping.wait()
        if self.stopping.is_set() and self.halted is not None:
            raise self.halted


_current: ContextVar[Studio] = ContextVar("studio")


def current_studio() -> Studio:
    """The studio that this context works in.

    Steps find it here instead of in their parameters: parameters are shown and stored by the scheduler.
    """
    try:
        return _current.get()
    except LookupError:
        raise CallsheetError(
            "No studio is open: steps run inside a batch (`callsheet run`), not on their own."
        ) from None


@asynccontextmanager
async def open_studio(
    settings: Settings,
    batch: Batch,
    *,
    catalogue: Catalogue,
    clock: Clock,
    service_url: str | None,
    budget_usd: Decimal | None,
    wait: bool = False,
) -> AsyncIterator[Studio]:
    """Open ledger, archive, spool and providers for a batch; all are closed, in reverse order, at the end.

    `service_url` is where the rehearsal service answers (None when live). Raises SettingsError, LedgerError or
    ArchiveError before anything is created.
    """
    async with AsyncExitStack() as stack:
        ledger = await Ledger.open(settings.ledger_url, clock=clock)
        stack.push_async_callback(ledger.aclose)
        store = open_archive(settings, link=True)
        stack.push_async_callback(store.aclose)
        providers = await stack.enter_async_context(
            open_providers(settings, mode=batch.mode, rehearsal_url=service_url, catalogue=catalogue)
        )
        spool = Spool(settings.home / "spool", ledger.identity)
        stack.callback(spool.close)
        studio = Studio(
            settings=settings,
            batch=batch,
            catalogue=catalogue,
            clock=clock,
            ledger=ledger,
            store=store,
            spool=spool,
            platforms=load_platforms(settings.platforms),
            providers=providers,
            budget_usd=budget_usd,
            progress=Progress(),
            wait=wait,
        )
        providers.when_answered_by_another(studio.halt)
        if (watching := watcher.get()) is not None:
            watching.watch(studio)
        token = _current.set(studio)
        try:
            yield studio
        finally:
            _current.reset(token)


class Watcher(Protocol):
    """Whoever wants to follow a batch and may stop it: the command line, say."""

    def watch(self, studio: Studio) -> None:
        """A batch of this context has been opened."""
        ...


# Set before a batch is run in the same context; a worker's batch has no watcher.
watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
