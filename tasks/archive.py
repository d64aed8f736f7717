"""The archive task."""

from __future__ import annotations

from typing import Any

from prefect import task

from callsheet.batch.pipeline import run_step
from tasks.policy import POLICY, work_on


@task(name="archive", task_run_name="archive: {group}", tags=["archive"], **POLICY)
async def archive(group: str, shots: list[str]) -> dict[str, Any]:
    """Write the sidecars of the group's shots and record how they ended."""
    return await run_step(*work_on("archive", shots))
