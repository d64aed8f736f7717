"""The policy of all tasks: retries, and what the scheduler keeps.

Tasks never cache or persist results: the ledger is the memory, and bytes do not pass through the scheduler.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from callsheet.batch.pipeline import STEPS, Step
from callsheet.context.context import RunContext, current_run
from callsheet.context.shot_state import ShotState, is_transient
from callsheet.errors import CallsheetError


def work_on(step: str, shots: Sequence[str]) -> tuple[RunContext, Step, list[ShotState]]:
    """Return what `run_step` needs for these shots (by id) of the open batch."""
    run = current_run()
    return run, STEPS[step], [run.state.work[shot] for shot in shots]


RETRIES = 3
DELAYS_S = [1.0, 5.0, 20.0]


async def worth_retrying(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Tell whether to try again: only when archive or ledger were out of reach.

    Everything else has been recorded for its shot.
    """
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
