"""The cuts task."""

from __future__ import annotations

from typing import Any

from prefect import task

from tasks.policy import POLICY, each


@task(name="cuts", task_run_name="cuts: {group}", tags=["cuts"], **POLICY)
async def cuts(group: str, shots: list[str]) -> dict[str, Any]:
    """Make the clips ready for the platforms that the shots ask for."""
    return await each("cuts", shots)
