"""The frames task."""

from __future__ import annotations

from typing import Any

from prefect import task

from tasks.policy import POLICY, each


@task(name="frames", task_run_name="frames: {group}", tags=["frames"], **POLICY)
async def frames(group: str, shots: list[str]) -> dict[str, Any]:
    """Choose the takes to animate."""
    return await each("frames", shots)
