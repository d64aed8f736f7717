"""The run context: what the steps of one run share, opened and closed together.

Resources and policy, which never change, and the state of the batch, which does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from callsheet.archive.open import open_archive
from callsheet.archive.spool import Spool
from callsheet.archive.store import Store
from callsheet.clock import Clock
from callsheet.concurrency import PrioritySemaphore
from callsheet.context.batch_state import BatchState
from callsheet.context.gates import RouteGate
from callsheet.context.poller import Poller
from callsheet.errors import CallsheetError
from callsheet.ledger import JobOrder, Ledger
from callsheet.media.ffmpeg import EncoderSlots
from callsheet.media.signing import Signer
from callsheet.models import Catalogue, Model
from callsheet.plan import Known
from callsheet.platforms import Platforms, load_platforms
from callsheet.providers import Providers, open_providers
from callsheet.settings import Settings
from callsheet.shots import Batch
from callsheet.telemetry import tell

# Submissions that hold a frame's bytes in memory at the same time: 8 x 30 MB at worst.
SUBMITS_AT_ONCE = 8
DOWNLOADS_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The open resources of one batch in one process.

    `open_context` opens and closes them together.
    """

    #: The settings of this process.
    settings: Settings
    #: The models, with the defaults that the batch was begun with.
    catalogue: Catalogue
    #: The time of the provider: that of the rehearsal service in a rehearsal.
    clock: Clock
    #: Jobs, attempts, money and quota.
    ledger: Ledger
    #: The archive.
    store: Store
    #: Bytes that were paid for and are not archived yet, on this disk.
    spool: Spool
    #: The platforms that clips are cut for.
    platforms: Platforms
    #: The clients of the models' routes.
    providers: Providers
    #: Picture requests in flight at once (CALLSHEET_IMAGE_CONCURRENCY).
    image_slots: asyncio.Semaphore
    #: Submissions that hold a frame's bytes in memory at once.
    submit_slots: asyncio.Semaphore
    #: Videos being made by the provider at once (CALLSHEET_VIDEO_CONCURRENCY).
    video_slots: asyncio.Semaphore
    #: Encoders at work at once, by their number and memory.
    encoder_slots: EncoderSlots
    #: Downloads at once; what expires first goes first.
    downloads: PrioritySemaphore
    #: Waits for the operations of submitted videos.
    poller: Poller

    def price_model(self, model: str) -> Model:
        """Return the model with the prices of the clock's day.

        That on which a request is sent.
        """
        return self.catalogue.price_at(self.clock.now()).get(model)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPolicy:
    """What a run may do, as its request and the settings say."""

    #: The shots that are worked on; all of them when there are none here.
    only: frozenset[str] = frozenset()
    #: Send nothing that costs.
    free: bool = False
    #: Sleep through a day whose quota is used up, instead of ending parked.
    wait: bool = False
    #: The campaign's budget; None for no limit.
    budget_usd: Decimal | None = None
    #: Signs the cuts; None for nobody.
    signer: Signer | None = None

    def wants(self, shot: str) -> bool:
        """Return whether this run works on the shot."""
        return not self.only or shot in self.only


@dataclass(frozen=True, slots=True)
class RunContext:
    """One batch as a run works on it: the first argument of every step."""

    #: The batch.
    batch: Batch
    #: What is open.
    resources: Resources
    #: What the run may do.
    policy: RunPolicy
    #: What changes while it works.
    state: BatchState

    def gate(self, order: JobOrder) -> RouteGate:
        """Return the gate of the route that the order's request takes.

        Its scope says whose quota is used.
        """
        about_people = order.kind == "image" and order.request.get("person_generation") is not None
        return self.state.gate(self.resources.providers.scope(order.model, about_people=about_people))

    def remember(self, known: Known) -> None:
        """Take over what a survey of the batch found."""
        self.state.remember(known, f"{self.resources.store.uri}/{self.batch.prefix}")

    async def rest(self, seconds: float) -> None:
        """Sleep `seconds` of the clock's time.

        Raises Stopped as soon as the run is stopped.
        """
        await self.state.rest(self.resources.clock, seconds)


_current: ContextVar[RunContext] = ContextVar("run")


def current_run() -> RunContext:
    """Return the run context that this task works in.

    Tasks find it here instead of in their parameters: parameters are shown and stored by the scheduler.
    """
    try:
        return _current.get()
    except LookupError:
        raise CallsheetError(
            "No batch is open: steps run inside a batch (`callsheet run`), not on their own."
        ) from None


@asynccontextmanager
async def open_context(
    settings: Settings,
    batch: Batch,
    *,
    catalogue: Catalogue,
    clock: Clock,
    service_url: str | None,
    policy: RunPolicy,
    halted: CallsheetError | None = None,
) -> AsyncIterator[RunContext]:
    """Open ledger, archive, spool and providers for a batch.

    All are closed, in reverse order, at the end.

    `service_url` is where the rehearsal service answers (None when live); with `halted` nothing is sent from the
    start. Raises SettingsError, LedgerError or ArchiveError before anything is created.
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
        state = BatchState(halted=halted)
        resources = Resources(
            settings=settings,
            catalogue=catalogue,
            clock=clock,
            ledger=ledger,
            store=store,
            spool=spool,
            platforms=load_platforms(settings.platforms),
            providers=providers,
            image_slots=asyncio.Semaphore(settings.image_concurrency),
            submit_slots=asyncio.Semaphore(SUBMITS_AT_ONCE),
            video_slots=asyncio.Semaphore(settings.video_concurrency),
            encoder_slots=EncoderSlots(settings.encoders, settings.encoder_memory_mb),
            downloads=PrioritySemaphore(DOWNLOADS_AT_ONCE),
            poller=Poller(clock, partial(state.rest, clock)),
        )
        run = RunContext(batch, resources, policy, state)
        providers.when_answered_by_another(state.halt)
        token = _current.set(run)
        tell("opened", {"batch": batch.name, "mode": batch.mode})
        try:
            yield run
        finally:
            _current.reset(token)
