"""What is said of a batch whose Prefect server has gone in the middle of its run: ledger and archive know all of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from callsheet.batch.open import open_run
from callsheet.batch.report import write_report
from callsheet.batch.request import RunRequest
from callsheet.batch.start import open_batch
from callsheet.exit_codes import ExitCode
from callsheet.settings import Settings


async def summary_without_server(request: RunRequest, settings: Settings) -> dict[str, Any]:
    """Write the batch's report from ledger and archive and return its summary, with exit code 1. Sends nothing."""
    looking = replace(request, free=True, remake=False, wait=False, plan=None)
    async with open_run(looking, settings) as (studio, manifest):
        await open_batch(studio, manifest, request=replace(request, remake=False, plan=None))
        report = await write_report(studio, 0.0)
    return {**report.summary, "exit_code": ExitCode.INTERNAL}
