"""The account of a batch: its campaign's money, the use of its models' quotas, and when parked work goes on."""

from __future__ import annotations

from datetime import datetime, timedelta

from callsheet.clock import real_now
from callsheet.ledger import JobState, Ledger
from callsheet.ledger.quota import WINDOW, Limits, pacific_day, tightened
from callsheet.ledger.use import Use
from callsheet.plan import Plan
from callsheet.plan.money import Money
from callsheet.providers.routes import quota_scope
from callsheet.report.account import Account, ModelUse
from callsheet.shots import Batch
from callsheet.steps.outlook import models_of, position_of
from callsheet.studio import Studio


async def account_of(studio: Studio, plan: Plan) -> Account:
    """How the campaign's money and the quotas of the plan's models stand now. Read from the ledger alone."""
    now, settings = studio.clock.now(), studio.settings
    names = sorted({model for item in plan.shots for model in models_of(item.shot)})
    used = await studio.ledger.use_of(quota_scope(settings, studio.batch.mode), names, now)
    models = []
    for name in names:
        limits = studio.catalogue.get(name).limits(settings.tier)
        models.append(model_use(name, used[name], Limits(limits.rpm, limits.rpd), now))
    money = Money(studio.budget_usd, await position_of(studio.ledger, studio.batch))
    return Account(money, tuple(models), pacific_day(now)[1])


def model_use(model: str, use: Use, published: Limits, now: datetime) -> ModelUse:
    """The use of one model at `now`, held against its limits and what 429 replies said of them."""
    limits, full = tightened(published, use.learned), use.learned.day_until
    if full is None and limits.rpd is not None and use.today >= limits.rpd:
        full = pacific_day(now)[1]
    minute = sum(now - WINDOW < time <= now for time in use.times)
    return ModelUse(model, minute, limits.rpm, use.today, limits.rpd, full if full and full > now else None)


async def goes_on_at(ledger: Ledger, batch: Batch) -> datetime | None:
    """When the first of the batch's parked requests may be sent (time of the clock); None when no quota parks one."""
    jobs = await ledger.jobs_of(batch.name)
    return min((job.parked_until for job in jobs if job.state is JobState.PLANNED and job.parked_until), default=None)


def in_real_time(studio: Studio, moment: datetime | None) -> datetime | None:
    """The real time for a time of the studio's clock, never in the past, to the next full second."""
    if moment is None:
        return None
    return max(studio.clock.real(moment), real_now()).replace(microsecond=0) + timedelta(seconds=1)
