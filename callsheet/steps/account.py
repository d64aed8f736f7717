"""The account of a batch: its campaign's money, the use of its models' quotas, and when parked work goes on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from callsheet.clock import real_now
from callsheet.errors import BudgetParked
from callsheet.ledger import JobState
from callsheet.ledger.quota import WINDOW, Limits, pacific_day, tightened
from callsheet.ledger.use import Use
from callsheet.plan import Plan
from callsheet.plan.money import Money
from callsheet.providers.scopes import scope_of
from callsheet.report.account import Account, ModelUse
from callsheet.steps.outlook import models_of, position_of
from callsheet.studio import Studio


async def account_of(studio: Studio, plan: Plan) -> Account:
    """How the campaign's money and the quotas of the plan's models stand now. Read from the ledger alone."""
    names = {model for item in plan.shots for model in models_of(item.shot)}
    money = Money(studio.budget_usd, await position_of(studio.ledger, studio.batch))
    return Account(money, await _uses(studio, names), pacific_day(studio.clock.now())[1])


async def _uses(studio: Studio, names: Iterable[str]) -> tuple[ModelUse, ...]:
    now, settings, wanted = studio.clock.now(), studio.settings, sorted(names)
    scope = scope_of(settings, studio.batch.mode)
    used = await studio.ledger.use_of({name: scope(name) for name in wanted}, now)
    limits = {name: studio.catalogue.get(name).limits(settings.tier) for name in wanted}
    return tuple(model_use(name, used[name], Limits(limits[name].rpm, limits[name].rpd), now) for name in wanted)


def model_use(model: str, use: Use, published: Limits, now: datetime) -> ModelUse:
    """The use of one model at `now`, held against its limits and what 429 replies said of them."""
    limits, full = tightened(published, use.learned), use.learned.day_until
    pause = use.learned.pause_until
    if pause is not None and pause > now + WINDOW:
        full = max(pause, full or pause)
    if full is None and limits.rpd is not None and use.today >= limits.rpd:
        full = pacific_day(now)[1]
    minute = sum(now - WINDOW < time <= now for time in use.times)
    return ModelUse(model, minute, limits.rpm, use.today, limits.rpd, full if full and full > now else None)


async def goes_on_at(studio: Studio) -> datetime | None:
    """When the first of the batch's unsent requests may be sent (time of the clock); None when no quota is in the way.

    A request that the provider itself refused for today is on record with its model, not with a time of its own.
    """
    jobs = await studio.ledger.jobs_of(studio.batch.name)
    unsent = [job for job in jobs if job.state is JobState.PLANNED and job.reason_kind != BudgetParked.__name__]
    models = {job.model for job in unsent}
    full = {use.model: use.full_until for use in await _uses(studio, models)}
    return min((until for job in unsent if (until := job.parked_until or full[job.model])), default=None)


def in_real_time(studio: Studio, moment: datetime | None) -> datetime | None:
    """The real time for a time of the studio's clock, never in the past, to the next full second."""
    if moment is None:
        return None
    return max(studio.clock.real(moment), real_now()).replace(microsecond=0) + timedelta(seconds=1)
