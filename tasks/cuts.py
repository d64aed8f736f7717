"""The cuts task."""

from __future__ import annotations

from typing import Any

from prefect import task

from callsheet.batch.pipeline import run_step
from tasks.policy import POLICY, work_on


@task(name="cuts", task_run_name="cuts: {group}", tags=["cuts"], **POLICY)
async def cuts(group: str, shots: list[str]) -> dict[str, Any]:
    """Make the clips ready for the platforms that the shots ask for."""
    return await run_step(*work_on("cuts", shots))
