"""The content batch flow.

manifest -> plan -> images -> frames -> clips -> cuts -> archive -> report
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any

from prefect import Flow, flow, tags
from prefect.client.schemas.objects import State
from prefect.schedules import Cron

from callsheet.batch.open import open_prepared
from callsheet.batch.pipeline import run_pipeline
from callsheet.batch.prepare import PreparedRun, prepare_again, prepare_run
from callsheet.batch.report import Report
from callsheet.batch.start import open_batch, set_aside
from callsheet.context.context import RunContext
from callsheet.errors import BegunElsewhere
from callsheet.exit_codes import ExitCode
from callsheet.orchestration.artifacts import publish_batch_artifacts
from callsheet.orchestration.end_states import close_earlier, end_state, tell_mistakes
from callsheet.orchestration.forms import (
    BadRow,
    Budget,
    Campaign,
    Edition,
    Free,
    Live,
    Manifest,
    Only,
    PlanFile,
    Remake,
    Rows,
    Variables,
    Wait,
    WebhookUrl,
)
from callsheet.orchestration.local_server import local_server
from callsheet.orchestration.resume import go_on_later, resolve_edition
from callsheet.orchestration.run_events import tell_ended
from callsheet.orchestration.run_labels import label_run, log_plan, log_report, run_name
from callsheet.orchestration.run_parameters import request_from
from callsheet.orchestration.shard_runs import cancel_shards
from callsheet.orchestration.shards import SplitBatch, shards_for, work_in_shards
from callsheet.orchestration.trigger import accept_request, tell_of_end, tell_of_failure
from callsheet.plan.grouping import MOST_GROUPS, groups
from callsheet.settings import load_settings
from callsheet.shots import Shot
from tasks.pipeline import archive, clips, cuts, frames, images, report

# The task of each step of the pipeline.
TASKS = {"images": images, "frames": frames, "clips": clips, "cuts": cuts, "archive": archive}


OPTIONS: dict[str, Any] = {
    "name": "content-batch",
    "flow_run_name": run_name,
    "description": "Make, animate, cut and archive every shot of a manifest. Running it again continues it.",
    "persist_result": False,
    "validate_parameters": True,
    "on_cancellation": [cancel_shards, tell_of_failure],
    "on_failure": [tell_of_failure],
}
Watch = Callable[[RunContext], None]


@flow(**OPTIONS)
@tell_mistakes
async def content_batch(
    manifest: Manifest = "",
    live: Live = False,
    edition: Edition = None,
    campaign: Campaign = None,
    variables: Variables = None,
    budget_usd: Budget = None,
    remake: Remake = False,
    wait: Wait = False,
    only: Only = None,
    free: Free = False,
    plan: PlanFile = None,
    rows: Rows = None,
    webhook: WebhookUrl = None,
    on_bad_row: BadRow = "stop",
) -> Any:
    """Bring the batch to what its manifest asks for, paying only for the rest.

    What is there is not paid for again.

    Returns the object that `callsheet run --json` prints. Shots that are blocked or failed do not fail the flow: its
    final state says how many there are. It ends Paused when it waits for a person, and Suspended when it is parked.
    UsageError when the manifest or the settings are not valid.
    `rows` are those of a sheet, from a program that has no manifest; `webhook` is told how the run ended. `on_bad_row`
    says whether a row that is wrong stops the run, or is left out.
    """
    parameters, settings = dict(locals()), load_settings()
    request = replace(request_from(parameters), edition=await resolve_edition(edition))
    request = await accept_request(request, rows, webhook, settings)
    state = await bring(await prepare_run(request, settings))
    await tell_of_end(webhook, state, settings)
    return state


def flow_of(asked: PreparedRun, watch: Watch | None = None) -> Flow[..., Any]:
    """Return `content_batch` for a run that this process has prepared.

    Its manifest is not read again. It is called with the parameters of the request, which the server shows. `watch` is
    told when the batch is open.
    """

    @tell_mistakes
    @wraps(content_batch.fn)
    async def prepared(*_values: Any, **_parameters: Any) -> Any:
        return await bring(asked, watch)

    return flow(**OPTIONS)(prepared)


async def bring(asked: PreparedRun, watch: Watch | None = None) -> State[dict[str, Any]]:
    """Bring the batch of a prepared run to what its manifest asks for.

    When another process begins it at the same moment with other models, the run goes on with those.
    """
    try:
        return await _bring(asked, watch)
    except BegunElsewhere:
        return await _bring(await prepare_again(asked), watch)


async def _bring(asked: PreparedRun, watch: Watch | None) -> State[dict[str, Any]]:
    request, started = asked.request, time.monotonic()
    async with open_prepared(asked) as run:
        if watch is not None:
            watch(run)
        await label_run(run.batch)
        made = await open_batch(run, asked)
        log_plan(made)
        with tags(run.batch.campaign, run.batch.mode):
            async with publish_batch_artifacts(run, made):
                going = await set_aside(run, made)
                if shards := await shards_for(run, request, made, going):
                    split = SplitBatch(request, made, shards, going)
                    await work_in_shards(run, split, lambda some: in_groups(run, some))
                else:
                    await in_groups(run, going)
            ended = await report(started)
    log_report(ended)
    await close_earlier(run.batch)
    later = await go_on_later(run.batch, ended)
    tell_ended(run.batch, ended.summary, later)
    return final_state(run, ended, later)


async def in_groups(run: RunContext, shots: Sequence[Shot], most: int = MOST_GROUPS) -> None:
    """Take the shots through the pipeline in groups, side by side.

    Each step of a group is a task run.
    """
    await asyncio.gather(*(_in_tasks(run, group) for group in groups(shots, most)))


async def _in_tasks(run: RunContext, shots: Sequence[Shot]) -> None:
    ids = [shot.id for shot in shots]
    group = ids[0] if len(ids) == 1 else f"{ids[0]} to {ids[-1]} ({len(ids)})"
    await run_pipeline(run, shots, lambda step, works: TASKS[step.name](group, [work.shot.id for work in works]))


def final_state(run: RunContext, ended: Report, later: str = "") -> State[dict[str, Any]]:
    """Return the flow run's final state; `later` says how parked work goes on."""
    summary, waiting = dict(ended.summary), ended.summary["waiting_for"]["approval"]
    asks = f"{waiting} to be approved: callsheet approve {summary['batch']}" if waiting else ""
    if run.state.crashed:
        summary["exit_code"] = int(ExitCode.INTERNAL)
    return end_state(summary, asks, later)


if __name__ == "__main__":
    with local_server():
        content_batch.serve(
            name="daily",
            parameters={
                "manifest": "prompts/demo.csv",
                "live": False,
                "edition": "{date}",
                "budget_usd": 50,
                "on_bad_row": "skip",
            },
            schedule=Cron("0 6 * * *", timezone="Europe/Berlin", slug="daily"),
            global_limit=1,
        )
