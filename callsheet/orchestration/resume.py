"""How a batch goes on: when the quota's day turns, or once it is decided.

Its next run is one of the same deployment, else it is made in this process.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from prefect import Flow, get_client, get_run_logger
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Scheduled

from callsheet.batch.report import Report
from callsheet.batch.request import RunRequest, edition_at, has_placeholder
from callsheet.errors import BudgetParked, RouteClosed, RouteMissing, RouteParked
from callsheet.orchestration.end_states import carry_out
from callsheet.orchestration.run_parameters import parameters_of
from callsheet.shots import Batch

# How many runs of a batch are looked through for one of a deployment.
_LOOKED_AT = 50
# A run that is scheduled for later, when a quota's day turns say, does not keep another from starting now.
_SOON = timedelta(minutes=1)


async def continue_batch(
    batch: Batch, request: RunRequest, flow: Flow[..., Coroutine[Any, Any, Mapping[str, Any]]]
) -> dict[str, Any]:
    """Start the batch's next run of `flow`.

    It is one of the deployment that ran it last (`started`), else it is made here (`run`).

    A run that is about to begin is not doubled: it finds what was decided until then.
    """
    async with get_client() as client:
        last = await _run_of_deployment(client, batch, flow.name)
        if last is not None and last.deployment_id is not None:
            if _is_about_to_begin(last):
                return {"started": str(last.id)}
            # A plan file, or remaking, was for that run alone.
            asked = {**last.parameters, **parameters_of(request)}
            run = await arun_deployment(
                last.deployment_id,
                client=client,
                parameters=asked,
                flow_run_name=batch.name,
                tags=last.tags,
                timeout=0,
                as_subflow=False,
            )
            get_run_logger().info("%s goes on in a run of its deployment.", batch.name)
            return {"started": str(run.id)}
    return {"run": await carry_out(flow, parameters_of(request))}


def _is_about_to_begin(run: FlowRun) -> bool:
    due = run.expected_start_time
    waits = run.state_type in (StateType.SCHEDULED, StateType.PENDING)
    return waits and due is not None and due <= datetime.now(UTC) + _SOON


async def _run_of_deployment(client: PrefectClient, batch: Batch, flow: str) -> FlowRun | None:
    """Return the batch's latest run by a deployment which is still there."""
    runs = await client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
        flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[batch.name])),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=_LOOKED_AT,
    )
    for run in runs:
        if run.deployment_id is None:
            continue
        try:
            await client.read_deployment(run.deployment_id)
        except ObjectNotFound:
            continue
        return run
    return None


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
    if RouteMissing.__name__ in kinds:
        told.append("credentials are missing for some models: set them and run it again")
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
        settled = await client.read_flow_run(run.id)
        await client.create_flow_run_from_deployment(
            run.deployment_id,
            parameters={**settled.parameters, "edition": batch.edition},
            state=Scheduled(scheduled_time=until + MARGIN, message=f"What is parked in {batch.name} goes on."),
            name=batch.name,
            tags=run.tags,
            idempotency_key=f"{batch.name} goes on {until:%Y-%m-%dT%H:%M:%SZ}",
        )
    get_run_logger().info("The quota's day turns at %s. A run is scheduled for then.", moment)
    return f"goes on by itself at {moment}"
