"""The images task."""

from __future__ import annotations

from typing import Any

from prefect import task

from callsheet.batch.pipeline import run_step
from tasks.policy import POLICY, work_on


@task(name="images", task_run_name="images: {group}", tags=["images"], **POLICY)
async def images(group: str, shots: list[str]) -> dict[str, Any]:
    """Make every take of the group's shots."""
    return await run_step(*work_on("images", shots))
