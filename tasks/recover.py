"""The task of the collect flow: one batch's missing files."""

from __future__ import annotations

from typing import Any

from prefect import task

from callsheet.batch.recover import recover
from callsheet.context.context import current_studio
from callsheet.jobs.missing import missing_in
from tasks.policy import POLICY


@task(name="recover", task_run_name="recover: {batch}", tags=["recover"], **POLICY)
async def recover_batch(batch: str) -> list[dict[str, Any]]:
    """Fetch what is paid for and not in the batch's folder; what became of each job."""
    studio = current_studio()
    batches = {row.batch.name: row.batch for row in await studio.ledger.batches() if row.batch.name == batch}
    missing = await missing_in(studio.ledger, studio.store, batches)
    return [one.as_json() for one in await recover(studio, missing, batches)]
