"""The run context: what the steps of one run share, opened and closed together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from callsheet.archive.open import open_archive
from callsheet.archive.spool import Spool
from callsheet.clock import Clock
from callsheet.concurrency import PrioritySemaphore
from callsheet.context.batch_state import BatchState
from callsheet.context.gates import RouteGate
from callsheet.context.poller import Poller
from callsheet.context.resources import Resources, RunPolicy
from callsheet.errors import CallsheetError
from callsheet.ledger import JobOrder, Ledger
from callsheet.media.ffmpeg import EncoderSlots
from callsheet.models import Catalogue
from callsheet.plan import Known
from callsheet.platforms import load_platforms
from callsheet.providers import open_providers
from callsheet.settings import Settings
from callsheet.shots import Batch

# Submissions that hold a frame's bytes in memory at the same time: 8 x 30 MB at worst.
SUBMITS_AT_ONCE = 8
DOWNLOADS_AT_ONCE = 8


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
        if (watching := watcher.get()) is not None:
            watching.watch(run)
        token = _current.set(run)
        try:
            yield run
        finally:
            _current.reset(token)


class Watcher(Protocol):
    """Whoever wants to follow a batch and may stop it: the command line, say."""

    def watch(self, run: RunContext) -> None:
        """Follow a batch of this context, which has just been opened."""
        ...


# Set before a batch is run in the same context; a worker's batch has no watcher.
watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
