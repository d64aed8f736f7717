"""Parked work goes on by itself: a run of the same deployment, scheduled for the moment the quota's day turns."""

from __future__ import annotations

from datetime import datetime, timedelta

from prefect import get_client, get_run_logger
from prefect.context import FlowRunContext
from prefect.states import Scheduled

from callsheet.batch.report import Report
from callsheet.errors import BudgetParked, RouteClosed, RouteParked
from callsheet.shots import Batch

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
    """Schedule the batch's next run for `until` (real time), with this run's parameters and edition.

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
