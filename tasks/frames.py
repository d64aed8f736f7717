"""The frames task."""

from __future__ import annotations

from typing import Any

from prefect import task

from callsheet.batch.pipeline import run_step
from tasks.policy import POLICY, work_on


@task(name="frames", task_run_name="frames: {group}", tags=["frames"], **POLICY)
async def frames(group: str, shots: list[str]) -> dict[str, Any]:
    """Choose the takes to animate."""
    return await run_step(*work_on("frames", shots))
