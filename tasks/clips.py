"""The clips task."""

from __future__ import annotations

from typing import Any

from prefect import task

from callsheet.batch.pipeline import run_step
from tasks.policy import POLICY, work_on


@task(name="clips", task_run_name="clips: {group}", tags=["clips"], **POLICY)
async def clips(group: str, shots: list[str]) -> dict[str, Any]:
    """Animate the chosen frames and wait for the videos."""
    return await run_step(*work_on("clips", shots))
