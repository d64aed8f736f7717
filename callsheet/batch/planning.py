"""Planning: the survey and the outlook, made into a plan; and a plan file held against it. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from callsheet.archive.open import open_archive
from callsheet.archive.store import Store
from callsheet.batch.conditions import outlook
from callsheet.batch.request import RunRequest
from callsheet.batch.survey import survey
from callsheet.clock import Clock
from callsheet.ledger import Ledger
from callsheet.manifest import Manifest
from callsheet.models import Catalogue
from callsheet.plan import Known, Plan, plan_batch
from callsheet.plan.plan_batch import check_sendable
from callsheet.plan.plan_file import PlanFile, check_same, read_plan
from callsheet.platforms import Platforms, load_platforms
from callsheet.providers.routing import is_loopback
from callsheet.providers.scopes import scope_of
from callsheet.rehearsal.clock import glance
from callsheet.rehearsal.config import LatencyConfig
from callsheet.settings import Settings
from callsheet.shots import Batch, Mode, Shot

# Under this name a batch's request in the ledger tells which plan it was last run by.
FOLLOWED = "plan"


@dataclass(frozen=True, slots=True)
class Desk:
    """What a plan is made with: where things are known, and the time and money there is."""

    settings: Settings
    ledger: Ledger
    store: Store
    catalogue: Catalogue
    clock: Clock
    latency: LatencyConfig
    budget: Decimal | None
    platforms: Platforms


async def make_plan(desk: Desk, batch: Batch, shots: Sequence[Shot]) -> tuple[Plan, Known]:
    """Return the plan of a batch as everything is now, and what it was made from."""
    known = await survey(desk.ledger, desk.store, batch, shots, scope_of(desk.settings, batch.mode))
    conditions = await outlook(
        desk.ledger, desk.settings, batch, shots, desk.catalogue, desk.clock, desk.budget, desk.latency
    )
    # The simulation of a large batch takes a second.
    plan = await asyncio.to_thread(plan_batch, batch, shots, known, desk.catalogue, conditions, desk.platforms)
    return plan, known


async def check_unsent(settings: Settings, batch: Batch, sheet: Manifest, catalogue: Catalogue) -> None:
    """Raise ManifestError for requests still to be sent that may not be.

    What was made stands. Creates nothing.
    """
    if not sheet.unsendable:
        return
    known, platforms = Known(), load_platforms(settings.platforms)
    if settings.ledger is not None or (settings.home / "ledger.db").exists():
        store = open_archive(settings)
        try:
            async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
                known = await survey(ledger, store, batch, sheet.shots, scope_of(settings, batch.mode))
        finally:
            await store.aclose()
    check_sendable(plan_batch(batch, sheet.shots, known, catalogue, platforms=platforms), sheet.unsendable)


async def time_of(settings: Settings, mode: Mode) -> tuple[Clock, LatencyConfig]:
    """Return the clock that a run would have, and its service's latency.

    No service is started for it.
    """
    if mode == "live":
        return Clock(), LatencyConfig()
    url = settings.gemini_base_url
    here = url if url and is_loopback(url) else None
    return await asyncio.to_thread(glance, settings.home / "rehearsal", settings.rehearsal_factor, here)


def plan_file(plan: Plan, request: RunRequest, settings: Settings) -> PlanFile:
    """Return the plan as a file that `run --plan` follows."""
    return PlanFile.of(plan, datetime.now(UTC), dict(request.variables), settings.tier)


async def follow(plan: Plan, request: RunRequest, settings: Settings, ledger: Ledger) -> dict[str, str]:
    """Return when the plan is the one of `request.plan`, or none is named.

    SettingsError with what differs.

    What it returns goes into the ledger with the batch's request: the plan that the batch was last run by, so that
    the same command goes on after an interruption.
    """
    if request.plan is None:
        return {}
    planned = await asyncio.to_thread(read_plan, Path(request.plan))
    last = next((row.request for row in await ledger.batches() if row.batch.name == plan.batch.name), None) or {}
    begun = last.get(FOLLOWED) == planned.state
    check_same(request.plan, planned, plan_file(plan, request, settings), begun=begun)
    return {FOLLOWED: planned.state}
