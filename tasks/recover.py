"""The task of the collect flow: one batch's missing files."""

from __future__ import annotations

from typing import Any

from prefect import task

from callsheet.batch.recover import recover
from callsheet.context.context import current_run
from callsheet.jobs.missing import missing_in
from tasks.policy import POLICY


@task(name="recover", task_run_name="recover: {batch}", tags=["recover"], **POLICY)
async def recover_batch(batch: str) -> list[dict[str, Any]]:
    """Fetch what is paid for and not in the batch's folder.

    Returns what became of each job.
    """
    run = current_run()
    batches = {batch: (await run.resources.ledger.batch_named(batch)).batch}
    missing = await missing_in(run.resources.ledger, run.resources.store, batches)
    return [one.as_json() for one in await recover(run, missing, batches)]
