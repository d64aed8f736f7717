"""Opening a batch: the request is read, and what a run, repair or recovery needs is opened for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

from callsheet.archive.open import open_archive
from callsheet.archive.store import Store
from callsheet.batch.default_models import MODEL_DEFAULTS, Begun, as_begun, read_recorded_defaults
from callsheet.batch.request import RunRequest
from callsheet.batch.survey import is_finished, survey
from callsheet.clock import Clock
from callsheet.context.context import RunContext, open_context
from callsheet.context.resources import RunPolicy
from callsheet.cuts.framing.focus import parse_focus
from callsheet.editions import check_edition
from callsheet.errors import SettingsError, Stopped, UsageError
from callsheet.ledger import Ledger
from callsheet.manifest import WHOLE, Manifest, read_campaign, read_manifest
from callsheet.manifest.model_rules import Serving
from callsheet.media.signing import Signer, open_signer
from callsheet.models import Catalogue, load_catalogue
from callsheet.plan import plan_batch
from callsheet.platforms import load_platforms
from callsheet.providers import load_sdk
from callsheet.providers.routing import access_to, is_loopback, platform_for
from callsheet.providers.scopes import scope_of
from callsheet.rehearsal.config import RehearsalConfig
from callsheet.rehearsal.process import find_service, rehearsal_service
from callsheet.settings import Settings
from callsheet.shots import Batch

# The service's address for a batch with nothing left to make: nobody listens there, and nothing is sent.
NO_SERVICE = "http://127.0.0.1:1"

log = logging.getLogger(__name__)


async def read_as_begun(
    request: RunRequest, settings: Settings, *, ask_archive: bool = True
) -> tuple[Manifest, Catalogue, Batch]:
    """Return the same as `read_request`, with the models and defaults of models that the batch was begun with.

    A new default is for new batches: shots that do not say would all be paid for anew. Creates nothing. The archive is
    asked when the ledger does not tell.
    """
    today = load_catalogue(settings.catalogue)
    try:
        manifest, _, batch = read_request(request, settings, today)
    except UsageError:
        # With a new default an old sheet may ask for what no model makes.
        campaign = read_campaign(request.manifest, request.campaign, request.variables)
        kept = as_begun(today, await _begun(settings, _batch(request, campaign), ask_archive)) if campaign else today
        if kept == today:
            raise
        return read_request(request, settings, kept)
    kept = as_begun(today, await _begun(settings, batch, ask_archive))
    if kept == today:
        return manifest, kept, batch
    if kept.defaults != today.defaults:
        log.warning(
            "Batch %s goes on with the default models that it was begun with (%s), not with today's. Name models in "
            "the manifest to have others.", batch.name, ", ".join(kept.defaults.values()),
        )  # fmt: skip
    return read_request(request, settings, kept)


async def _begun(settings: Settings, batch: Batch, ask_archive: bool) -> Begun:
    """Return what ledger or archive tell of the models that a batch was begun with. {} for one that is new."""
    told: Begun = {}
    if settings.ledger is not None or (settings.home / "ledger.db").exists():
        async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
            rows = {row.batch.name: row.request for row in await ledger.batches()}
        told = rows.get(batch.name) or {}
    if MODEL_DEFAULTS in told or not ask_archive:
        return told
    store = open_archive(settings)
    try:
        return {**await read_recorded_defaults(store, batch), **told}
    finally:
        await store.aclose()


def read_request(
    request: RunRequest, settings: Settings, catalogue: Catalogue | None = None
) -> tuple[Manifest, Catalogue, Batch]:
    """Read the manifest of a request, with its catalogue and its batch.

    The manifest is checked: UsageError when it is not valid.

    Without a `catalogue` it is that of the settings. Of a shard the manifest has the shots of this shard alone.
    """
    check_edition(request.edition)
    catalogue = catalogue or load_catalogue(settings.catalogue)
    manifest = read_manifest(
        request.manifest,
        catalogue=catalogue,
        live=request.live,
        campaign=request.campaign,
        variables=request.variables,
        input_roots=settings.input_roots,
        today=datetime.now(UTC).date(),
        stretch=request.shard.stretch if request.shard else WHOLE,
        platforms=load_platforms(settings.platforms),
        focus=focus_of(settings),
        font=settings.font,
        serving=_serving(request, settings),
    )
    batch = _batch(request, manifest.campaign, manifest.uri, manifest.sha256)
    _check_scope(request, manifest)
    return manifest, catalogue, batch


def _batch(request: RunRequest, campaign: str, uri: str = "", sha256: str = "") -> Batch:
    return Batch(campaign, request.edition, "live" if request.live else "rehearsal", uri, sha256)


def _serving(request: RunRequest, settings: Settings) -> Serving:
    """Return where the requests of a run would go with these settings. Any platform when that cannot be told."""
    try:
        access = access_to(settings, "live") if request.live else access_to(settings, "rehearsal", NO_SERVICE)
    except SettingsError:
        return Serving(restricted_region=settings.restricted_region)
    return Serving(partial(platform_for, access=access), settings.restricted_region)


@dataclass(frozen=True, slots=True)
class Purpose:
    """Why a batch is opened: what may be done with it, and whether its provider is asked for anything."""

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
    """Return the purpose of fetching what was paid for in batches of this one's mode. Sends nothing."""
    catalogue, halted = load_catalogue(settings.catalogue), Stopped("A recovery sends nothing.")
    return Purpose(batch, catalogue, RunPolicy(free=True), True, halted)


@asynccontextmanager
async def open_for(purpose: Purpose, settings: Settings) -> AsyncIterator[RunContext]:
    """Open a batch for a purpose, with the rehearsal service running when a rehearsal needs one.

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
async def open_run(request: RunRequest, settings: Settings) -> AsyncIterator[tuple[RunContext, Manifest]]:
    """Read the request's manifest and open its batch to run it.

    A batch with nothing left needs no service.

    SettingsError when `only` names shots that the manifest does not have, `free` is asked to remake, or cuts are to be
    signed and cannot be.
    """
    signer = await asyncio.to_thread(signer_of, settings)
    manifest, catalogue, batch = await read_as_begun(request, settings)
    policy = RunPolicy(
        only=frozenset(request.only),
        free=request.free,
        wait=request.wait,
        budget_usd=budget_of(request, manifest, settings),
        signer=signer,
    )
    is_whole = not request.live and request.shard is None and await _is_finished(settings, batch, manifest, catalogue)
    halted = Stopped("This run sends nothing that costs. Start the batch as usual to go on with it.")
    purpose = Purpose(batch, catalogue, policy, not is_whole, halted if request.free else None)
    async with open_for(purpose, settings) as run:
        yield run, manifest


@asynccontextmanager
async def open_records(settings: Settings) -> AsyncIterator[tuple[Ledger, Store]]:
    """Open ledger and archive alone, for who looks at batches or decides about them."""
    store = open_archive(settings)
    try:
        async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
            yield ledger, store
    finally:
        await store.aclose()


def focus_of(settings: Settings) -> str:
    """Return where cuts look whose shots do not say. SettingsError when the setting names no such place."""
    try:
        return parse_focus(settings.focus).text
    except UsageError as error:
        raise SettingsError(f"CALLSHEET_FOCUS: {error}") from None


def signer_of(settings: Settings) -> Signer | None:
    """Return who signs the cuts, None for nobody. SettingsError when the settings name somebody who cannot."""
    return open_signer(settings.c2pa_cert, settings.c2pa_key, settings.c2pa_alg, settings.c2pa_tsa_url)


def budget_of(request: RunRequest, manifest: Manifest, settings: Settings) -> Decimal | None:
    """Return the lowest of the budgets that were given (USD); None without one."""
    given = (request.budget_usd, manifest.budget_usd, settings.budget_usd)
    return min((usd for usd in given if usd is not None), default=None)


def _check_scope(request: RunRequest, manifest: Manifest) -> None:
    known = [shot.id for shot in manifest.shots]
    if strange := [shot for shot in request.only if shot not in known]:
        named = ", ".join(repr(shot) for shot in strange[:10])
        raise SettingsError(
            f"{request.manifest} has no shot {named}. Nothing was made. It has: {', '.join(known[:20])}"
            + (f" and {len(known) - 20} more." if len(known) > 20 else ".")
        )
    if request.free and request.remake:
        raise SettingsError("What is made again is paid for again, and this run was asked to spend nothing.")


async def _is_finished(settings: Settings, batch: Batch, manifest: Manifest, catalogue: Catalogue) -> bool:
    """Return whether nothing is left to make: the batch then needs no service.

    Looks at ledger and archive only.
    """
    async with open_records(settings) as (ledger, store):
        known = await survey(ledger, store, batch, manifest.shots, scope_of(settings, batch.mode))
    made = plan_batch(batch, manifest.shots, known, catalogue, platforms=load_platforms(settings.platforms))
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
