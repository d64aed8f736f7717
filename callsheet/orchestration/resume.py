"""Parked work: a run is scheduled for the moment the quota's day turns.

It is one of the same deployment.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from prefect import get_client, get_run_logger
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.runtime import flow_run
from prefect.states import Scheduled

from callsheet.batch.report import Report
from callsheet.editions import edition_at, has_placeholder
from callsheet.errors import BudgetParked, RouteClosed, RouteParked
from callsheet.shots import Batch


async def resolve_edition(edition: str | None) -> str | None:
    """Return the edition of this flow run, with `{date}` and the like filled in.

    SettingsError when that cannot be done.

    The time is the run's expected start, which the server sets once: a run that starts late, is tried again or goes on
    after a crash has the edition it was scheduled for. The time zone is that of the schedule that made the run, else
    that of its deployment's first schedule, else UTC. What was filled in replaces the parameter of the run, where
    people read it and where a restart finds it, whatever has become of the schedule meanwhile.
    """
    if not edition or not has_placeholder(edition):
        return edition or None  # a form sends an empty text where nothing was written
    async with get_client() as client:
        run = await client.read_flow_run(flow_run.id)
        settled = edition_at(edition, await _scheduled(client, run))
        # Prefect replaces all parameters; those that it stored are kept as they are.
        await client.update_flow_run(run.id, parameters={**run.parameters, "edition": settled})
    return settled


async def _scheduled(client: PrefectClient, run: FlowRun) -> datetime:
    """When the run was to start, in the time zone of its schedule."""
    expected: datetime = run.expected_start_time or datetime.now(ZoneInfo("UTC"))
    return expected.astimezone(ZoneInfo(await _time_zone(client, run)))


async def _time_zone(client: PrefectClient, run: FlowRun) -> str:
    if run.deployment_id is None:
        return "UTC"
    schedules = await client.read_deployment_schedules(run.deployment_id)
    made_by = run.created_by.id if run.created_by else None
    ordered = sorted(schedules, key=lambda one: (one.id != made_by, one.created))
    zones = (getattr(one.schedule, "timezone", None) for one in ordered)
    return next((zone for zone in zones if zone), "UTC")


# The provider's clock and ours may differ; a request that comes too early would park the batch for another day.
MARGIN = timedelta(seconds=10)


async def go_on_later(batch: Batch, ended: Report) -> str:
    """How parked work goes on, for the flow's final state; "" when none is parked.

    What waits for a quota is scheduled for when its day turns.
    """
    # Of a shot that is done a take may be parked that nothing waits for.
    kinds = {failure.kind for sidecar in ended.sidecars for failure in sidecar.failures}
    told = [await _schedule(batch, ended.until)] if ended.until else []
    if BudgetParked.__name__ in kinds:
        told.append("the budget allows no more: raise it and run it again")
    if kinds & {RouteClosed.__name__, RouteParked.__name__}:
        told.append("the provider's account takes no more requests: mend it and run it again")
    return "; ".join(told)


async def _schedule(batch: Batch, until: datetime) -> str:
    """Schedule the batch's next run for `until` (real time).

    It has this run's parameters and edition.

    Only one is scheduled, however many runs of a deployment are parked until then. A run without a deployment (the
    command line's, or one inside `collect`) only says when.
    """
    moment = f"{until:%Y-%m-%d %H:%M} UTC"
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.deployment_id is None:
        return f"run it again from {moment} on"
    async with get_client() as client:
        await client.create_flow_run_from_deployment(
            run.deployment_id,
            parameters={**run.parameters, "edition": batch.edition},
            state=Scheduled(scheduled_time=until + MARGIN, message=f"What is parked in {batch.name} goes on."),
            name=batch.name,
            tags=run.tags,
            idempotency_key=f"{batch.name} goes on {until:%Y-%m-%dT%H:%M:%SZ}",
        )
    get_run_logger().info("The quota's day turns at %s. A run is scheduled for then.", moment)
    return f"goes on by itself at {moment}"
