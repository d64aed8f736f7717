"""Planning: what is known and the conditions, made into a plan.

The conditions are those under which a run would begin now. A plan file is held against it. Changes nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from callsheet.archive.open import open_archive
from callsheet.archive.store import Store
from callsheet.batch.prepare import PreparedRun
from callsheet.batch.survey import hear_other_batches, survey, unpaid_keys
from callsheet.clock import Clock
from callsheet.context.poller import INTERVAL_S, SHORTEST_S
from callsheet.errors import ManifestError
from callsheet.jobs.charges import spend_limits
from callsheet.ledger import JobState, Ledger
from callsheet.ledger.spend_window import SPEND_WINDOW, Position, SpendLimits, pacific_month, stricter
from callsheet.manifest.left_out import LeftOut, list_problems
from callsheet.models import Catalogue
from callsheet.plan import Known, Plan, plan_batch
from callsheet.plan.inputs import LIVE, REHEARSAL, Conditions, ModelConditions, Money, RouteName, SpendConditions
from callsheet.plan.models_used import list_models_of
from callsheet.plan.plan_file import PlanFile, check_same, read_plan
from callsheet.plan.sendable import check_sendable, find_refused
from callsheet.providers.access import Access, access_to, is_loopback
from callsheet.providers.routing import missing_routes, name_route, scope_of
from callsheet.reconcile.rebuild_ledger import Records
from callsheet.rehearsal.clock import glance
from callsheet.rehearsal.config import LatencyConfig
from callsheet.settings import Settings
from callsheet.shots import Batch, Mode, Shot

# Under this name a batch's request in the ledger tells which plan it was last run by.
FOLLOWED = "plan"
# Clips, and edits of edits, whose pictures other batches of the archive have.
_DEEPEST = 8


async def make_plan(asked: PreparedRun, ledger: Ledger, store: Store, clock: Clock | None = None) -> tuple[Plan, Known]:
    """Return the plan of a batch as everything is now, and what it was made from.

    `clock` is the run's own, when it has one.
    """
    batch, settings = asked.batch, asked.settings
    now, latency = await read_clock(settings, batch.mode)
    known = await _survey(asked, ledger, store)
    found = await read_conditions(asked, ledger, clock or now, latency)
    # The simulation of a large batch takes a second.
    plan = await asyncio.to_thread(plan_good_rows, asked, known, found)
    return plan, known


def plan_good_rows(asked: PreparedRun, known: Known, conditions: Conditions | None = None) -> Plan:
    """Return the plan of a batch, without the rows that are left out.

    Where rows that are wrong stop the batch, these are told by `check_sendable`.
    """
    sheet, batch, catalogue, platforms = asked.manifest, asked.batch, asked.catalogue, asked.platforms()
    left_out = list(sheet.left_out)
    if asked.request.skips_bad_rows and sheet.unsendable and not asked.request.free:
        whole = plan_batch(batch, asked.shots, known, catalogue, platforms=platforms)
        refused = find_refused(whole, sheet.unsendable, asked.request.wants)
        if len(refused) == len(asked.shots):
            raise ManifestError(list_problems((*left_out, *refused)))
        left_out = sorted((*left_out, *refused), key=lambda each: each.line)
    gone = {each.shot for each in left_out}
    shots = [shot for shot in asked.shots if shot.id not in gone]
    plan = plan_batch(batch, shots, known, catalogue, conditions=conditions, platforms=platforms)
    dropped = tuple(shot for shot in plan.dropped if shot not in gone)
    return replace(plan, dropped=dropped, left_out=tuple(left_out), places=sheet.places)


def plan_remake(asked: PreparedRun, plan: Plan, known: Known) -> Plan:
    """Return the plan with what `--remake` makes again, and what that costs.

    What is lost may still be found for nothing: it is counted, since a person agrees to the most that may be paid.
    """
    failed = {
        action.job_key
        for item in plan.shots
        if asked.request.wants(item.shot.id)
        for action in item.actions
        if action.what == "failed"
    }
    jobs = {key: replace(job, state=JobState.PLANNED) if key in failed else job for key, job in known.jobs.items()}
    again = replace(known, jobs=jobs)
    return plan_good_rows(asked, again)


async def _survey(asked: PreparedRun, ledger: Ledger, store: Store) -> Known:
    """Return what is known of a batch.

    A live one asks the archive's other batches before it pays.
    """
    batch, shots, records = asked.batch, asked.shots, _records_of(asked, ledger, store)
    known, cache = await survey(records, batch, shots), asked.settings.parts_cache
    # Again for what is made of the pictures that were found.
    for _ in range(_DEEPEST if batch.mode == "live" else 0):
        keys = unpaid_keys(batch, shots, known)
        if not await hear_other_batches(records, batch, keys, cache):
            break
        known = await survey(records, batch, shots)
    return known


def _records_of(asked: PreparedRun, ledger: Ledger, store: Store) -> Records:
    mode = asked.batch.mode
    return Records(ledger, store, {mode: scope_of(asked.settings, mode, asked.catalogue)})


async def check_unsent(asked: PreparedRun) -> tuple[LeftOut, ...]:
    """Return the shots that are left out.

    Raises ManifestError for other requests still to be sent that may not be. What was made stands. Creates nothing.
    """
    sheet, settings, batch = asked.manifest, asked.settings, asked.batch
    if not sheet.unsendable:
        return sheet.left_out
    known = Known()
    if settings.ledger is not None or (settings.home / "ledger.db").exists():
        store = open_archive(settings)
        try:
            async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
                known = await survey(_records_of(asked, ledger, store), batch, asked.shots)
        finally:
            await store.aclose()
    plan = plan_good_rows(asked, known)
    check_sendable(plan, sheet.unsendable)
    return plan.left_out


async def read_clock(settings: Settings, mode: Mode) -> tuple[Clock, LatencyConfig]:
    """Return the clock that a run would have, and its service's latency.

    No service is started for it.
    """
    if mode == "live":
        return Clock(), LatencyConfig()
    url = settings.gemini_base_url
    here = url if url and is_loopback(url) else None
    return await asyncio.to_thread(glance, settings.home / "rehearsal", settings.rehearsal_factor, here)


def plan_file(plan: Plan, asked: PreparedRun) -> PlanFile:
    """Return the plan as a file that `run --plan` follows."""
    file = PlanFile.of(plan, datetime.now(UTC), dict(asked.request.variables), asked.settings.tier)
    return file.model_copy(update={"on_bad_row": asked.request.on_bad_row})


async def follow(plan: Plan, asked: PreparedRun, ledger: Ledger) -> dict[str, str]:
    """Return when the plan is the one of the request's plan file, or none is named.

    SettingsError with what differs.

    What it returns goes into the ledger with the batch's request: the plan that the batch was last run by, so that
    the same command goes on after an interruption.
    """
    name = asked.request.plan
    if name is None:
        return {}
    planned = await asyncio.to_thread(read_plan, Path(name))
    last = next((row.request for row in await ledger.batches() if row.batch.name == plan.batch.name), None) or {}
    begun = last.get(FOLLOWED) == planned.state
    check_same(name, planned, plan_file(plan, asked), begun=begun)
    return {FOLLOWED: planned.state}


async def read_conditions(asked: PreparedRun, ledger: Ledger, clock: Clock, latency: LatencyConfig) -> Conditions:
    """Return what a run of the batch would find at this moment.

    `latency` is what the rehearsal service was told of it.
    """
    settings, batch, catalogue = asked.settings, asked.batch, asked.catalogue
    now, scope = clock.now(), scope_of(settings, batch.mode, catalogue)
    names = sorted({model for shot in asked.shots for model in models_of(shot)})
    use = await ledger.use_of({name: scope(name) for name in names}, now)
    rehearsal = batch.mode == "rehearsal"
    access = None if rehearsal else access_to(settings, "live")
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
        money=Money(asked.budget_usd, await position_of(ledger, batch)),
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
        unreachable={} if access is None else missing_routes(access, [catalogue.get(name) for name in names]),
        has_credentials=access is None or access.has_any,
        routes=_name_routes(settings, catalogue, access),
    )


def _name_routes(settings: Settings, catalogue: Catalogue, live: Access | None) -> dict[str, RouteName]:
    """Return the routes to all models.

    Of a live batch without any credentials, those that it could have.
    """
    open_to_all = access_to(settings, "rehearsal", "http://127.0.0.1")
    access = live if live is not None and live.has_any else open_to_all
    found = ((model.id, name_route(model, access)) for model in catalogue.models() if model.driven)
    return {name: RouteName(*route) for name, route in found if route is not None}


async def _spend(
    ledger: Ledger, settings: Settings, catalogue: Catalogue, scopes: Sequence[str], now: datetime
) -> SpendConditions:
    """Return what may be spent on the scope with such limits, and what was.

    There is one at most.
    """
    if not scopes:
        return SpendConditions()
    recent = await ledger.list_spending(scopes[0], now - SPEND_WINDOW, now)
    month = await ledger.sum_spending(scopes[0], pacific_month(now)[0], now)
    limits = spend_limits(settings, catalogue, scopes[0])
    learned, _ = await ledger.learned_spend(scopes[0], now)
    return SpendConditions(replace(limits, per_10min=stricter(limits.per_10min, learned)), tuple(recent), month)


def models_of(shot: Shot) -> list[str]:
    """Return the models that the shot's pictures and clips are made with."""
    image = list_models_of(shot, "image") if shot.takes else ()
    return [*image, *list_models_of(shot, "video")] if shot.motion_prompt and shot.video_model else [*image]


async def position_of(ledger: Ledger, batch: Batch) -> Position:
    """Return the money of the campaign in this mode, over all its editions.

    What a budget is compared with.
    """
    rows = [
        row for row in await ledger.batches() if (row.batch.campaign, row.batch.mode) == (batch.campaign, batch.mode)
    ]
    return Position(sum((r.spent_usd for r in rows), Decimal(0)), sum((r.reserved_usd for r in rows), Decimal(0)))
