"""The content batch flow.

manifest -> plan -> images -> frames -> clips -> cuts -> archive -> report
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from prefect import flow, tags
from prefect.client.schemas.objects import State
from prefect.schedules import Cron
from prefect.states import Completed

from callsheet.batch.open import open_run
from callsheet.batch.pipeline import run_pipeline
from callsheet.batch.report import Report
from callsheet.batch.start import open_batch, set_aside
from callsheet.context.context import RunContext
from callsheet.exit_codes import ExitCode
from callsheet.orchestration.batch_artifacts import publish_batch_artifacts
from callsheet.orchestration.by_hand import local_server
from callsheet.orchestration.forms import (
    Budget,
    Campaign,
    Edition,
    Free,
    Live,
    Manifest,
    Only,
    PlanFile,
    Remake,
    Variables,
    Wait,
)
from callsheet.orchestration.resume import go_on_later, resolve_edition
from callsheet.orchestration.run_labels import label_run, log_plan, log_report, run_name
from callsheet.orchestration.run_parameters import request_from
from callsheet.orchestration.shard_runs import cancel_shards
from callsheet.orchestration.shards import shards_for, work_in_shards
from callsheet.plan.grouping import MOST_GROUPS, groups
from callsheet.settings import load_settings
from callsheet.shots import Shot
from tasks.archive import archive
from tasks.clips import clips
from tasks.cuts import cuts
from tasks.frames import frames
from tasks.images import images
from tasks.report import report

# The task of each step of the pipeline.
TASKS = {"images": images, "frames": frames, "clips": clips, "cuts": cuts, "archive": archive}


@flow(
    name="content-batch",
    flow_run_name=run_name,
    description="Make, animate, cut and archive every shot of a manifest. Running it again continues it.",
    persist_result=False,
    validate_parameters=True,
    on_cancellation=[cancel_shards],
)
async def content_batch(
    manifest: Manifest,
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
) -> Any:
    """Bring the batch to what its manifest asks for, paying only for the rest.

    What is there is not paid for again.

    Returns the object that `callsheet run --json` prints. Shots that are blocked, failed or parked do not fail the
    flow: its final state says how many there are. UsageError when the manifest or the settings are not valid.
    """
    asked, started = dict(locals()), time.monotonic()
    request = replace(request_from(asked), edition=await resolve_edition(edition))
    async with open_run(request, load_settings()) as (run, sheet):
        await label_run(run.batch)
        made = await open_batch(run, sheet, request)
        log_plan(made)
        with tags(run.batch.campaign, run.batch.mode):
            async with publish_batch_artifacts(run, made):
                going = await set_aside(run, made)
                if shards := await shards_for(run, request, made, going):
                    await work_in_shards(run, request, made, shards, going, lambda some: in_groups(run, some))
                else:
                    await in_groups(run, going)
            ended = await report(started)
    log_report(ended)
    return final_state(run, ended, await go_on_later(run.batch, ended))


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
    waiting = ended.summary["waiting_for"]["approval"]
    asks = f"{waiting} to be approved: callsheet approve {ended.summary['batch']}" if waiting else ""
    return end_state(run, ended.summary, asks, later)


def end_state(run: RunContext, summary: Mapping[str, Any], *more: str) -> State[dict[str, Any]]:
    """Return the final state of a run, named by its exit code.

    `summary` has `exit_code` and `shots` by state; `more` is added to the message.
    """
    data, shots = dict(summary), summary["shots"]
    if run.state.crashed:
        data["exit_code"] = int(ExitCode.INTERNAL)
    rest = ", ".join(f"{count} {state}" for state, count in shots.items() if count and state not in ("total", "done"))
    name = {0: "Completed", 3: "Partly done", 4: "Parked", 5: "Waiting"}.get(data["exit_code"], "Unfinished")
    done, held = f"{shots['done']} of {shots['total']} shots done", data.get("usd", {}).get("held")
    told = (done, rest, *more, f"${held:.2f} held by requests that are not settled" if held else "")
    message = "; ".join(part for part in told if part)
    return Completed(name=name, message=message, data=data)


if __name__ == "__main__":
    with local_server():
        content_batch.serve(
            name="daily",
            parameters={"manifest": "prompts/demo.csv", "live": False, "edition": "{date}", "budget_usd": 50},
            schedule=Cron("0 6 * * *", timezone="Europe/Berlin", slug="daily"),
            global_limit=1,
        )
