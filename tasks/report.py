"""The report task."""

from __future__ import annotations

import time

from prefect import task

from callsheet.batch.report import Report, write_report
from callsheet.context.context import current_run
from callsheet.orchestration.batch_artifacts import publish_report
from tasks.policy import POLICY


@task(name="report", task_run_name="report", tags=["report"], **POLICY)
async def report(started: float) -> Report:
    """Write gallery, catalogue and `_SUCCESS.json`, and publish the report.

    `started` is the monotonic start, seconds.
    """
    ended = await write_report(current_run(), time.monotonic() - started)
    await publish_report(current_run(), ended)
    return ended
