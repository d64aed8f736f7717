"""The tasks of the flows beside the batch: social cuts, spots, missing files."""

from __future__ import annotations

from typing import Any

from prefect import task

from callsheet.batch.recover import recover
from callsheet.batch.recut import report_more_cuts, write_more_cuts
from callsheet.batch.spot import SpotRequest, make_spot_of
from callsheet.concurrency import gather_all
from callsheet.context.context import RunContext, current_run
from callsheet.context.shot_state import ShotState
from callsheet.jobs.missing import missing_in
from callsheet.settings import load_settings
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


@task(name="recover", task_run_name="recover: {batch}", tags=["recover"], **POLICY)
async def recover_batch(batch: str) -> list[dict[str, Any]]:
    """Fetch what is paid for and not in the batch's folder.

    Returns what became of each job.
    """
    run = current_run()
    batches = {batch: (await run.resources.ledger.batch_named(batch)).batch}
    missing = await missing_in(run.resources.ledger, run.resources.store, batches)
    return [one.as_json() for one in await recover(run, missing, batches)]


@task(name="assemble", task_run_name="spot: {asked.name}", tags=["spots"], **POLICY)
async def join_spot(asked: SpotRequest) -> dict[str, Any]:
    """Make the spot, archive it and show it in the batch's gallery.

    One that is there already is not remade.
    """
    return await make_spot_of(load_settings(), asked)
