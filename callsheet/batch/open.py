"""Opening a batch: what a run, repair or recovery needs is opened for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from callsheet.archive.open import open_archive
from callsheet.archive.store import Store
from callsheet.batch.prepare import NO_SERVICE, PreparedRun, prepare_run
from callsheet.batch.request import RunRequest
from callsheet.batch.survey import is_finished, survey
from callsheet.clock import Clock
from callsheet.context.context import RunContext, RunPolicy, open_context
from callsheet.errors import Stopped
from callsheet.ledger import Job, Ledger
from callsheet.media.signing import Signer, open_signer
from callsheet.models import Catalogue, load_catalogue
from callsheet.plan import plan_batch
from callsheet.providers import load_sdk
from callsheet.providers.access import is_loopback
from callsheet.providers.routing import scope_of
from callsheet.reconcile.rebuild_ledger import Records
from callsheet.rehearsal.config import RehearsalConfig
from callsheet.rehearsal.process import find_service, rehearsal_service
from callsheet.settings import Settings
from callsheet.shots import Batch


@dataclass(frozen=True, slots=True)
class Purpose:
    """Why a batch is opened: what may be done, and whether its provider is asked."""

    #: The batch.
    batch: Batch
    #: The models, with the defaults that the batch was begun with.
    catalogue: Catalogue
    #: What the run may do.
    policy: RunPolicy
    #: The rehearsal service is needed, if it is a rehearsal.
    asks_provider: bool
    #: Why nothing is sent.
    halted: Stopped | None = None


def to_repair(batch: Batch, settings: Settings) -> Purpose:
    """Return the purpose of work on archived files; no provider is asked.

    SettingsError for a signer that cannot.
    """
    policy = RunPolicy(free=True, signer=signer_of(settings))
    return Purpose(batch, load_catalogue(settings.catalogue), policy, False, Stopped("A repair sends nothing."))


def to_recover(batch: Batch, settings: Settings) -> Purpose:
    """Return the purpose of fetching what was paid for in batches of this one's mode.

    Sends nothing.
    """
    catalogue, halted = load_catalogue(settings.catalogue), Stopped("A recovery sends nothing.")
    return Purpose(batch, catalogue, RunPolicy(free=True), True, halted)


def to_look(job: Job, settings: Settings, *, asks_provider: bool = True) -> Purpose:
    """Return the purpose of asking the provider what became of a job. Sends nothing."""
    batch = Batch.parse(job.batch) or Batch(job.batch, None, job.mode)
    halted = Stopped("A look sends nothing.")
    return Purpose(batch, load_catalogue(settings.catalogue), RunPolicy(free=True), asks_provider, halted)


@asynccontextmanager
async def open_for(purpose: Purpose, settings: Settings) -> AsyncIterator[RunContext]:
    """Open a batch for a purpose, with the rehearsal service where one is needed.

    Raises SettingsError or ServiceError when the provider cannot be reached that way, LedgerError or ArchiveError
    before anything is created.
    """
    async with AsyncExitStack() as stack:
        clock, url = Clock(), None
        if purpose.batch.mode == "rehearsal":
            url, clock = await join_rehearsal(stack, settings) if purpose.asks_provider else (NO_SERVICE, clock)
        yield await stack.enter_async_context(
            open_context(
                settings,
                purpose.batch,
                catalogue=purpose.catalogue,
                clock=clock,
                service_url=url,
                policy=purpose.policy,
                halted=purpose.halted,
            )
        )


@asynccontextmanager
async def open_run(request: RunRequest, settings: Settings) -> AsyncIterator[tuple[RunContext, PreparedRun]]:
    """Read the request's manifest and open its batch to run it.

    It is `prepare_run` and `open_prepared` in one.
    """
    asked = await prepare_run(request, settings)
    async with open_prepared(asked) as run:
        yield run, asked


@asynccontextmanager
async def open_prepared(asked: PreparedRun) -> AsyncIterator[RunContext]:
    """Open the batch of a run that is prepared.

    A batch with nothing left to make needs no service. SettingsError when cuts are to be signed and cannot be.
    """
    request, settings = asked.request, asked.settings
    policy = RunPolicy(
        only=frozenset(request.only),
        free=request.free,
        wait=request.wait,
        budget_usd=asked.budget_usd,
        signer=await asyncio.to_thread(signer_of, settings),
    )
    is_whole = not request.live and request.shard is None and await _is_finished(asked)
    halted = Stopped("This run sends nothing that costs. Start the batch as usual to go on with it.")
    purpose = Purpose(asked.batch, asked.catalogue, policy, not is_whole, halted if request.free else None)
    async with open_for(purpose, settings) as run:
        yield run


@asynccontextmanager
async def open_records(settings: Settings, clock: Clock | None = None) -> AsyncIterator[tuple[Ledger, Store]]:
    """Open ledger and archive alone, for who looks at batches or decides about them."""
    store = open_archive(settings)
    try:
        async with await Ledger.open(settings.ledger_url, clock=clock or Clock()) as ledger:
            yield ledger, store
    finally:
        await store.aclose()


def signer_of(settings: Settings) -> Signer | None:
    """Return who signs the cuts, None for nobody.

    SettingsError when the settings name somebody who cannot.
    """
    return open_signer(settings.c2pa_cert, settings.c2pa_key, settings.c2pa_alg, settings.c2pa_tsa_url)


async def _is_finished(asked: PreparedRun) -> bool:
    """Return whether nothing is left to make: the batch then needs no service.

    Looks at ledger and archive only.
    """
    mode = asked.batch.mode
    scopes = {mode: scope_of(asked.settings, mode, asked.catalogue)}
    async with open_records(asked.settings) as (ledger, store):
        known = await survey(Records(ledger, store, scopes), asked.batch, asked.shots)
    made = plan_batch(asked.batch, asked.shots, known, asked.catalogue, platforms=asked.platforms())
    return all(is_finished(item, known.files) for item in made.shots)


async def join_rehearsal(stack: AsyncExitStack, settings: Settings) -> tuple[str, Clock]:
    """Return the rehearsal service.

    The one that the base URL points to on this machine, else one started for this run.

    A rehearsal never leaves the machine and never carries a real key. What answers on this machine may be a gateway
    that has a key of its own: SettingsError then. Base URLs of other machines count in live runs only.
    """
    given = settings.gemini_base_url
    if given and is_loopback(given):
        named = await asyncio.to_thread(find_service, given)
        return named.base_url, named.clock
    config = RehearsalConfig(
        state_dir=settings.home / "rehearsal",
        factor=settings.rehearsal_factor,
        script=settings.rehearsal_script,
        catalogue=settings.catalogue,
        gcs_endpoint=settings.storage_emulator_host,
    )
    # The SDK takes half a second to import, and the service longer to start.
    loading = asyncio.create_task(asyncio.to_thread(load_sdk))
    running = await stack.enter_async_context(rehearsal_service(config))
    await loading
    return running.base_url, running.clock
