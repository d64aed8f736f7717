"""The images task."""

from __future__ import annotations

from typing import Any

from prefect import task

from tasks.policy import POLICY, each


@task(name="images", task_run_name="images: {group}", tags=["images"], **POLICY)
async def images(group: str, shots: list[str]) -> dict[str, Any]:
    """Make every take of the group's shots."""
    return await each("images", shots)
