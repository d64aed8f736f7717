"""The account of a batch: money, use of quotas, and when parked work goes on.

The money is its campaign's, the quotas are those of its models.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from callsheet.batch.planning import models_of, position_of
from callsheet.clock import Clock, real_now
from callsheet.context.context import RunContext
from callsheet.errors import BudgetParked, RouteMissing
from callsheet.exit_codes import ExitCode, first_of
from callsheet.ledger import Job, JobState, Ledger
from callsheet.ledger.model_usage import Use
from callsheet.ledger.quota import PACIFIC, WINDOW, QuotaLimits, pacific_day, tightened
from callsheet.plan import Plan
from callsheet.plan.inputs import Money
from callsheet.plan.requests import take_keys
from callsheet.providers.routing import scope_of
from callsheet.report.account import Account, ModelUse, SpendReport, spend_report
from callsheet.settings import Settings
from callsheet.shots import Batch, Mode, Shot


async def spend_until(settings: Settings, mode: Mode, *, day: date | None, now: datetime) -> SpendReport:
    """Return the report on `day`; without one on the Pacific day before `now`.

    Rehearsal time runs ahead of the calendar: of rehearsals, the default is the last day that has any.
    """
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        rows = await ledger.spend(mode=mode)
    yesterday = now.astimezone(PACIFIC).date() - timedelta(days=1)
    last = max((row.day for row in rows), default=yesterday)
    return spend_report(rows, day or (yesterday if mode == "live" else last))


@dataclass(frozen=True, slots=True)
class OpenRequests:
    """The shots of open requests, a shot for each request."""

    parked: tuple[str, ...] = ()
    submitted: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """Return what a run with these ends with, if nothing else counts more."""
        found = [ExitCode.PARKED] if self.parked or self.submitted else []
        return first_of([*found, *([ExitCode.WAITING] if self.in_doubt else [])])

    def as_json(self) -> dict[str, int]:
        """Return how many there are of each, as `run --json` prints them."""
        return {"parked": len(self.parked), "submitted": len(self.submitted), "in_doubt": len(self.in_doubt)}


async def find_open_requests(run: RunContext, shots: Iterable[Shot], strangers: bool = True) -> OpenRequests:
    """Find what these shots of the run's batch have open. Read from the ledger alone.

    With `strangers` the open requests of shots and slots that the manifest has no more count as well, once they were
    sent: they hold money.
    """
    wanted = {shot.id: run.state.shot_now(shot) for shot in shots if run.policy.wants(shot.id)}
    jobs = await run.resources.ledger.open_jobs(run.batch.name)
    mine = [job for job in jobs if job.shot in wanted or (strangers and not run.policy.only)]
    takes = {job.key for job in mine if job.shot in wanted and is_wanted_take(run.batch, wanted[job.shot], job)}
    return sort_open(mine, takes)


def is_wanted_take(batch: Batch, shot: Shot, job: Job) -> bool:
    """Return whether the job is a take that the manifest asks for now."""
    return job.kind == "image" and job.key in take_keys(batch, shot)


def sort_open(jobs: Iterable[Job], takes: Collection[str]) -> OpenRequests:
    """Sort open jobs by what has to happen.

    Of parked ones only `takes` (keys) count: a shot without its clip is parked itself, and what is not wanted any more
    is never sent.
    """
    found: dict[str, list[str]] = {"parked": [], "submitted": [], "in_doubt": []}
    for job in jobs:
        if job.state is JobState.UNKNOWN:
            found["in_doubt"].append(job.shot)
        elif job.state in (JobState.SUBMITTING, JobState.SUBMITTED):
            found["submitted"].append(job.shot)
        elif job.key in takes:
            found["parked"].append(job.shot)
    return OpenRequests(**{name: tuple(shots) for name, shots in found.items()})


async def account_of(run: RunContext, plan: Plan) -> Account:
    """Return how the campaign's money and the quotas of the plan's models stand now.

    Read from the ledger alone.
    """
    names = {model for item in plan.shots for model in models_of(item.shot)}
    money = Money(run.policy.budget_usd, await position_of(run.resources.ledger, run.batch))
    rows, doubts = await run.resources.ledger.batches(), await run.resources.ledger.sum_doubts()
    mine = [row.batch for row in rows if (row.batch.campaign, row.batch.mode) == (run.batch.campaign, run.batch.mode)]
    in_doubt = sum((doubts.get(batch.name, Decimal(0)) for batch in mine), Decimal(0))
    return Account(money, await _uses(run, names), pacific_day(run.resources.clock.now())[1], in_doubt)


async def _uses(run: RunContext, names: Iterable[str]) -> tuple[ModelUse, ...]:
    now, settings, wanted = run.resources.clock.now(), run.resources.settings, sorted(names)
    scope = scope_of(settings, run.batch.mode, run.resources.catalogue)
    used = await run.resources.ledger.use_of({name: scope(name) for name in wanted}, now)
    limits = {name: run.resources.catalogue.get(name).limits(settings.tier) for name in wanted}
    return tuple(model_use(name, used[name], QuotaLimits(limits[name].rpm, limits[name].rpd), now) for name in wanted)


def model_use(model: str, use: Use, published: QuotaLimits, now: datetime) -> ModelUse:
    """Return the use of one model at `now`, held against its limits.

    Limits are also what 429 replies said of them.
    """
    limits, full = tightened(published, use.learned), use.learned.day_until
    pause = use.learned.pause_until
    if pause is not None and pause > now + WINDOW:
        full = max(pause, full or pause)
    if full is None and limits.rpd is not None and use.today >= limits.rpd:
        full = pacific_day(now)[1]
    minute = sum(now - WINDOW < time <= now for time in use.times)
    return ModelUse(model, minute, limits.rpm, use.today, limits.rpd, full if full and full > now else None)


# Jobs that wait for these wait for no quota.
_NO_QUOTA = (BudgetParked.__name__, RouteMissing.__name__)


async def goes_on_at(run: RunContext) -> datetime | None:
    """Return when the first of the batch's unsent requests may be sent.

    It is time of the clock, and None when no quota is in the way. A request that the provider itself refused for today
    is on record with its model, not with a time of its own.
    """
    jobs = await run.resources.ledger.jobs_of(run.batch.name)
    unsent = [job for job in jobs if job.state is JobState.PLANNED and job.reason_kind not in _NO_QUOTA]
    models = {job.model for job in unsent}
    full = {use.model: use.full_until for use in await _uses(run, models)}
    return min((until for job in unsent if (until := job.parked_until or full[job.model])), default=None)


def in_real_time(run: RunContext, moment: datetime | None) -> datetime | None:
    """Return the real time for a time of the run's clock.

    It is never in the past, and a full second.
    """
    if moment is None:
        return None
    return max(run.resources.clock.real(moment), real_now()).replace(microsecond=0) + timedelta(seconds=1)
