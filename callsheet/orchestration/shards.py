"""A batch in shards: their runs are started, watched, and joined.

They are on the work pool, and begun anew when they are lost.

The runs are Prefect's own, of the deployment `content-shard/content-shard`: any worker of its pool takes them. Which
shots are left is asked of the ledger, so nothing here has to survive: a batch whose run was killed finds its runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from httpx import HTTPError
from prefect import get_client, get_run_logger
from prefect.exceptions import ObjectNotFound
from prefect.runtime import deployment

from callsheet.batch.request import RunRequest
from callsheet.batch.shards import find_freed, follow_ledger, join_shards, list_attempts
from callsheet.context.context import RunContext
from callsheet.errors import Stopped
from callsheet.orchestration.shard_runs import DEPLOYMENT, ShardRuns, at_work
from callsheet.plan import Plan
from callsheet.plan.grouping import Shard, shards_of
from callsheet.plan.parents import by_depth
from callsheet.shots import Shot

LOOK_S = 3.0
RunLocally = Callable[[list[Shot]], Coroutine[Any, Any, None]]


async def shards_for(run: RunContext, request: RunRequest, plan: Plan, going: Sequence[Shot]) -> list[Shard]:
    """Return the shards that the batch is to be split into.

    None when it is worked on in this process.

    Only a run of a deployment is split, for its manifest is one that workers can read. One with few shots left is not,
    unless an earlier run of the batch has left runs of its shards at work.
    """
    size, places = run.resources.settings.shard_shots, plan.places
    if not size or request.only or not deployment.id or len(places) <= size or not going:
        return []
    found = shards_of(places, {shot.id for shot in going}, size, run.batch.manifest_sha256)
    async with get_client() as client:
        try:
            await client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            get_run_logger().warning("There is no deployment %s: the batch is not split, but goes on here.", DEPLOYMENT)
            return []
        split = len(going) > size or await at_work(client, run.batch)
    return found if split else []


@dataclass(frozen=True, slots=True)
class SplitBatch:
    """A batch that is split: request, plan, shards, and the shots that are left."""

    request: RunRequest
    plan: Plan
    shards: Sequence[Shard]
    going: Sequence[Shot]


async def work_in_shards(run: RunContext, split: SplitBatch, run_locally: RunLocally) -> None:
    """Have the shards worked on by runs of their own and take over what they made.

    Returns when every shard is over: a run that crashes, fails or falls silent is followed by another one, up to
    three. What no worker takes within a minute is done here by `run_locally`, a shard at a time, so a batch ends with
    any number of workers. This run holds no job and no quota while it waits. When it is stopped the shards go on; the
    next run of the batch finds them.
    """
    sent, going = await list_attempts(run), split.going
    async with get_client() as client:
        runs = ShardRuns(client, run, split.request, split.plan, going)
        await runs.begin(split.shards)
        with suppress(Stopped):
            await _see_through(run, runs, len(split.plan.shots), run_locally)
    await join_shards(run, [shot for shot in going if shot.id in runs.remote_shots], sent)
    run.state.count_crashes(runs.crashed)
    for _ in by_depth(going):
        if run.state.halted is None and (freed := await find_freed(run, going)):
            await run_locally(freed)


async def _see_through(run: RunContext, runs: ShardRuns, total: int, run_locally: RunLocally) -> None:
    """Look after the runs until all are over.

    A server that is out of reach is asked again: the runs go on.
    """
    own: asyncio.Task[None] | None = None
    try:
        while runs.open:
            await follow_ledger(run, total)
            await run.state.rest_really(LOOK_S)
            try:
                await runs.look()
                if (own is None or own.done()) and (shots := await runs.take_over()):
                    own = asyncio.create_task(run_locally(shots))
            except HTTPError as error:
                get_run_logger().warning("The runs of the shards cannot be looked at; trying again: %s", error)
    finally:
        if own is not None:
            await own
