"""The tasks of the social_cuts flow: a group's new cuts, and their records."""

from __future__ import annotations

from typing import Any

from prefect import task

from callsheet.batch.recut import report_more_cuts, write_more_cuts
from callsheet.concurrency import gather_all
from callsheet.context.context import RunContext, current_run
from callsheet.context.shot_state import ShotState
from callsheet.steps.cuts import make_these
from tasks.policy import POLICY


@task(name="social-cuts", task_run_name="cuts: {group}", tags=["cuts"], **POLICY)
async def cut_more(group: str, shots: list[str]) -> dict[str, Any]:
    """Cut the clips of the group's shots, and enter the cuts in their sidecars."""
    run = current_run()
    await gather_all(_cut(run, run.state.work[shot]) for shot in shots)
    return {"shots": len(shots)}


@task(name="social-cuts-report", task_run_name="report: {batch}", tags=["report"], **POLICY)
async def list_more_cuts(batch: str) -> dict[str, Any]:
    """List the batch's new cuts in catalogue, gallery and marker.

    Returns what was made.
    """
    return await report_more_cuts(current_run())


async def _cut(run: RunContext, work: ShotState) -> None:
    await make_these(run, work, work.cuts)
    await write_more_cuts(run, work)
