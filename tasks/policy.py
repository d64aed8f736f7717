"""The policy of all tasks: what is tried again, how often, and what the scheduler keeps.

Tasks never cache or persist results: the ledger is the memory, and bytes do not pass through the scheduler.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from callsheet.batch.pipeline import STEPS, run_step
from callsheet.context.context import current_run
from callsheet.context.shot_state import is_transient
from callsheet.errors import CallsheetError


async def each(step: str, shots: Sequence[str]) -> dict[str, Any]:
    """Run a step for the shots (by id); the account of it that the scheduler keeps."""
    run = current_run()
    works = [run.state.work[shot] for shot in shots]
    await run_step(run, STEPS[step], works)
    return {"shots": len(works), "ended": {work.shot.id: work.ended.value for work in works if work.ended}}


RETRIES = 3
DELAYS_S = [1.0, 5.0, 20.0]


async def worth_retrying(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Only when archive or ledger were out of reach; everything else has been recorded for its shot."""
    try:
        await state.aresult()
    except CallsheetError as error:
        return is_transient(error)
    except Exception:  # a bug is not mended by doing it again; it fails the task with its traceback
        return False
    return False


POLICY: dict[str, Any] = {
    "retries": RETRIES,
    "retry_delay_seconds": DELAYS_S,
    "retry_jitter_factor": 0.3,
    "retry_condition_fn": worth_retrying,
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "log_prints": False,
}
