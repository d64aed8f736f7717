"""The outlook: under which conditions a run would begin now, read before a plan is made. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from callsheet.clock import Clock
from callsheet.context.poller import INTERVAL_S, SHORTEST_S
from callsheet.jobs.charges import spend_limits
from callsheet.ledger import Ledger
from callsheet.ledger.spend_window import SPEND_WINDOW, Position, SpendLimits, pacific_month, stricter
from callsheet.models import Catalogue
from callsheet.plan.inputs import LIVE, REHEARSAL, Conditions, ModelConditions, SpendConditions
from callsheet.plan.money import Money
from callsheet.providers.scopes import scope_of
from callsheet.rehearsal.config import LatencyConfig
from callsheet.settings import Settings
from callsheet.shots import Batch, Shot


async def outlook(
    ledger: Ledger,
    settings: Settings,
    batch: Batch,
    shots: Sequence[Shot],
    catalogue: Catalogue,
    clock: Clock,
    budget: Decimal | None,
    latency: LatencyConfig,
) -> Conditions:
    """Return what a run of the batch would find at this moment.

    `latency` is what the rehearsal service was told of it.
    """
    now, scope = clock.now(), scope_of(settings, batch.mode)
    names = sorted({model for shot in shots for model in models_of(shot)})
    use = await ledger.use_of({name: scope(name) for name in names}, now)
    rehearsal = batch.mode == "rehearsal"
    models = {}
    for name in names:
        model = catalogue.get(name)
        takes = latency.of(model) if rehearsal else model.latency_s
        metered = spend_limits(settings, catalogue, scope(name)) != SpendLimits()
        models[name] = ModelConditions(model.limits(settings.tier), takes, use[name], metered)
    return Conditions(
        now=now,
        tier=settings.tier,
        models=models,
        money=Money(budget, await position_of(ledger, batch)),
        spend=await _spend(
            ledger, settings, catalogue, [scope(name) for name in names if models[name].is_metered], now
        ),
        effort=REHEARSAL if rehearsal else LIVE,
        factor=clock.factor,
        processors=os.cpu_count() or 1,
        images_at_once=settings.image_concurrency,
        videos_at_once=settings.video_concurrency,
        encoders=settings.encoders,
        look_s=max(INTERVAL_S, SHORTEST_S * clock.factor),
    )


async def _spend(
    ledger: Ledger, settings: Settings, catalogue: Catalogue, scopes: Sequence[str], now: datetime
) -> SpendConditions:
    """Return what may be spent on the scope that has such limits (there is one at most), and what was."""
    if not scopes:
        return SpendConditions()
    recent = await ledger.spent_since(scopes[0], now - SPEND_WINDOW, now)
    month = await ledger.spent_total(scopes[0], pacific_month(now)[0], now)
    limits = spend_limits(settings, catalogue, scopes[0])
    learned, _ = await ledger.learned_spend(scopes[0], now)
    return SpendConditions(replace(limits, per_10min=stricter(limits.per_10min, learned)), tuple(recent), month)


def models_of(shot: Shot) -> list[str]:
    """Return the models that the shot's pictures and clips are made with."""
    image = [shot.image_model] if shot.takes else []
    return [*image, shot.video_model] if shot.motion_prompt and shot.video_model else image


async def position_of(ledger: Ledger, batch: Batch) -> Position:
    """Return the money of the campaign in this mode, over all its editions.

    What a budget is compared with.
    """
    rows = [
        row for row in await ledger.batches() if (row.batch.campaign, row.batch.mode) == (batch.campaign, batch.mode)
    ]
    return Position(sum((r.spent_usd for r in rows), Decimal(0)), sum((r.reserved_usd for r in rows), Decimal(0)))
