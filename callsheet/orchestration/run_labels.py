"""Names, tags and log of a flow run, for a content lead in the UI."""

from __future__ import annotations

from pathlib import PurePosixPath
from uuid import UUID

from prefect import get_client, get_run_logger
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    TaskRunFilter,
    TaskRunFilterFlowRunId,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.runtime import flow_run
from prefect.states import Crashed

from callsheet.batch.prepare import describe_cut_off
from callsheet.batch.report import Report
from callsheet.batch.request import has_placeholder
from callsheet.google_sheets import is_google_sheet
from callsheet.manifest.left_out import describe_left_out
from callsheet.plan import NOUNS, Plan
from callsheet.report.format import format_count
from callsheet.shots import Batch
from callsheet.sources import split_sheet

# Beyond this the log repeats what the failures artifact says better.
FAILURES_LOGGED = 50


def run_name() -> str:
    """Return what a run is called until its manifest is read.

    As a batch: campaign (else the file), edition and mode.
    """
    asked = flow_run.parameters
    manifest = str(asked.get("manifest") or "rows")
    file = "google-sheet" if is_google_sheet(manifest) else split_sheet(manifest.partition("?")[0])[0]
    campaign = asked.get("campaign") or PurePosixPath(file).stem
    edition = asked.get("edition") or ""
    settled = [] if not edition or has_placeholder(edition) else [edition]
    return ".".join([campaign, *settled, "live" if asked.get("live") else "rehearsal"])


async def label_run(batch: Batch) -> None:
    """Name the flow run after its batch and tag it with campaign, mode and edition.

    Task runs that a killed process has left behind are closed: the server would show them as running for ever.
    """
    tags = {*flow_run.tags, batch.campaign, batch.mode, *([batch.edition] if batch.edition else [])}
    async with get_client() as client:
        await client.update_flow_run(flow_run.id, name=batch.name, tags=sorted(tags))
        if flow_run.run_count > 1:
            await _close_interrupted(client)


async def _close_interrupted(client: PrefectClient) -> None:
    """Close the task runs that are left; a page is more than a process has."""
    unfinished = TaskRunFilter(
        flow_run_id=TaskRunFilterFlowRunId(any_=[UUID(flow_run.id)]),
        state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])),
    )
    for left in await client.read_task_runs(task_run_filter=unfinished):
        gone: State[None] = Crashed(message="Its process is gone. What it had begun is gone on with.")
        await client.set_task_run_state(left.id, gone, force=True)


def log_plan(plan: Plan) -> None:
    """Log what the run is going to do, and which shots it cannot finish."""
    doing = [
        f"{what} {format_count(count, noun.removesuffix('s'))}"
        for kind, noun in NOUNS.items()
        for what, count in plan.counts(kind).most_common()
    ]
    told = ", ".join(doing) or "nothing to do"
    get_run_logger().info("%s: %d shots, at most $%.2f: %s", plan.batch.name, len(plan.shots), plan.usd_high, told)
    for line in (*describe_cut_off(plan), *describe_left_out(plan.left_out)):
        get_run_logger().warning(line)


def log_report(ended: Report) -> None:
    """How it ended, and a warning per shot that is not done."""
    logger, shots = get_run_logger(), ended.summary["shots"]
    for sidecar in [one for one in ended.sidecars if one.state != "done"][:FAILURES_LOGGED]:
        first = sidecar.failures[0] if sidecar.failures else None
        logger.warning(
            "%s: %s: %s", sidecar.shot, sidecar.state, f"{first.kind}: {first.message}" if first else "no reason"
        )
    logger.info("%d of %d shots done. Gallery: %s", shots["done"], shots["total"], ended.summary["gallery"])
