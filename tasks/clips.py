"""The clips task."""

from __future__ import annotations

from typing import Any

from prefect import task

from tasks.policy import POLICY, each


@task(name="clips", task_run_name="clips: {group}", tags=["clips"], **POLICY)
async def clips(group: str, shots: list[str]) -> dict[str, Any]:
    """Animate the chosen frames and wait for the videos."""
    return await each("clips", shots)
