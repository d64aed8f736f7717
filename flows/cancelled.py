"""A batch that a person cancels: the runs of its shards are cancelled with it."""

from __future__ import annotations

from typing import Any

from prefect import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterName,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelling

from flows.shard_runs import read_runs

NOT_OVER = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED]


async def cancel_shards(flow: object, flow_run: FlowRun, state: object) -> None:
    """When a person cancels a batch's run: cancel the runs of its shards, those too that an earlier run has started.

    Prefect's server (3.8.8) does so for a run's own within 20 s, and not for those that it joined.
    """
    called = f"{flow_run.name} · "
    wanted = FlowRunFilter(
        name=FlowRunFilterName(like_=called),
        tags=FlowRunFilterTags(all_=["shard"]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=NOT_OVER)),
    )
    async with get_client() as client:
        for shard in await read_runs(client, wanted):
            if shard.name.startswith(called):
                cancelling: State[Any] = Cancelling(message="Its batch was cancelled.")
                await client.set_flow_run_state(shard.id, cancelling)
