"""A run: one request to work on a batch, and the studio opened for it with everything it needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlsplit

from callsheet.clock import Clock
from callsheet.manifest import Manifest, read_manifest
from callsheet.models import Catalogue, load_catalogue
from callsheet.rehearsal.config import RehearsalConfig
from callsheet.rehearsal.process import rehearsal_service, service_at
from callsheet.settings import Settings
from callsheet.shots import Batch
from callsheet.studio import Studio, open_studio


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run is asked to do: small values that a scheduler can store and show.

    `wait` sleeps through a full day's quota instead of ending parked. `only` limits the work to these shots, and
    `free` to what costs nothing. `plan` names a plan file that the run has to follow exactly.
    """

    manifest: str
    live: bool = False
    edition: str | None = None
    campaign: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    budget_usd: Decimal | None = None
    remake: bool = False
    wait: bool = False
    only: tuple[str, ...] = ()
    free: bool = False
    plan: str | None = None


def read_request(request: RunRequest, settings: Settings) -> tuple[Manifest, Catalogue, Batch]:
    """The manifest of a request, checked, with the catalogue and the batch it stands for; UsageError otherwise."""
    catalogue = load_catalogue(settings.catalogue)
    manifest = read_manifest(
        request.manifest,
        catalogue=catalogue,
        live=request.live,
        campaign=request.campaign,
        variables=request.variables,
        input_roots=settings.input_roots,
        today=datetime.now(UTC).date(),
    )
    batch = Batch(
        manifest.campaign,
        request.edition,
        "live" if request.live else "rehearsal",
        manifest.uri,
        manifest.sha256,
    )
    return manifest, catalogue, batch


@asynccontextmanager
async def open_run(request: RunRequest, settings: Settings) -> AsyncIterator[tuple[Studio, Manifest]]:
    """The studio for a request, with the rehearsal service running unless the request is live."""
    manifest, catalogue, batch = read_request(request, settings)
    budgets = [usd for usd in (request.budget_usd, manifest.budget_usd, settings.budget_usd) if usd is not None]
    async with AsyncExitStack() as stack:
        clock, url = Clock(), None
        if not request.live:
            url, clock = await _rehearsal(stack, settings)
        studio = await stack.enter_async_context(
            open_studio(
                settings,
                batch,
                catalogue=catalogue,
                clock=clock,
                service_url=url,
                budget_usd=min(budgets, default=None),
            )
        )
        yield studio, manifest


async def _rehearsal(stack: AsyncExitStack, settings: Settings) -> tuple[str, Clock]:
    """The rehearsal service: the one that the base URL points to on this machine, else one started for this run.

    A rehearsal never leaves the machine and never carries a real key, so it cannot cost anything.
    """
    given = settings.gemini_base_url
    if given and urlsplit(given).hostname in ("127.0.0.1", "localhost", "::1"):
        joined = await asyncio.to_thread(service_at, given)
        return given.rstrip("/"), joined.clock if joined else Clock()
    config = RehearsalConfig(
        state_dir=settings.home / "rehearsal",
        factor=settings.rehearsal_factor,
        script=settings.rehearsal_script,
        catalogue=settings.catalogue,
        gcs_endpoint=settings.storage_emulator_host,
    )
    running = await stack.enter_async_context(rehearsal_service(config))
    return running.base_url, running.clock
