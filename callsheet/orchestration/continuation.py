"""Going on with a batch: by its deployment, else in this process."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import Flow, get_client, get_run_logger
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound

from callsheet.batch.request import RunRequest
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
    summary = await flow(**parameters_of(request))
    return {"run": dict(summary)}


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
