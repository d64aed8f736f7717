"""A step of the pipeline for a group of shots, inside the studio of the flow run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from callsheet.batch.pipeline import STEPS, run_step
from callsheet.context.context import current_studio


async def each(step: str, shots: Sequence[str]) -> dict[str, Any]:
    """Run a step for the shots (by id); the account of it that the scheduler keeps."""
    studio = current_studio()
    works = [studio.work[shot] for shot in shots]
    await run_step(studio, STEPS[step], works)
    return {"shots": len(works), "ended": {work.shot.id: work.ended.value for work in works if work.ended}}
