"""A step for a group of shots: each shot to its end, inside the studio of the flow run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from callsheet.steps import all_of
from callsheet.steps.work import Work
from callsheet.studio import Studio, current_studio

Step = Callable[[Studio, Work], Coroutine[Any, Any, None]]


async def each(step: Step, shots: Sequence[str], *, ended_too: bool = False) -> dict[str, Any]:
    """Do a step for the shots (by id) that are still going; the account of it that the scheduler keeps."""
    studio = current_studio()
    works = [studio.work[shot] for shot in shots]
    await all_of([step(studio, work) for work in works if ended_too or work.going])
    return {"shots": len(works), "ended": {work.shot.id: work.ended.value for work in works if work.ended}}
