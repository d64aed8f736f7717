"""The pipeline: the steps of a shot in their order.

It says which shots go through each; every run follows this one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from callsheet.concurrency import gather_all
from callsheet.context.context import RunContext
from callsheet.context.shot_state import ShotState, failure_of, is_transient, state_of
from callsheet.errors import CallsheetError
from callsheet.plan.parents import by_depth
from callsheet.shots import Failure, Shot, ShotOutcome
from callsheet.steps.archive import write_shot
from callsheet.steps.clips import make_clips
from callsheet.steps.cuts import make_cuts
from callsheet.steps.frames import choose_takes
from callsheet.steps.images import make_images
from callsheet.telemetry import tell

log = logging.getLogger(__name__)

# Of a foreign error, in the report.
_MOST_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Step:
    """A step: what it does to one shot, and which shots go through it.

    `always` also those that ended before.
    """

    name: str
    function: Callable[[RunContext, ShotState], Awaitable[None]]
    is_for: Callable[[Shot], bool]
    always: bool = False

    def takes(self, work: ShotState) -> bool:
        """Return whether the shot, as it stands, goes through the step."""
        return self.is_for(work.shot) and (self.always or work.going)


PIPELINE = (
    Step("images", make_images, lambda shot: shot.takes > 0),
    Step("frames", choose_takes, lambda shot: shot.takes > 1 or bool(shot.motion_prompt) or shot.is_parent),
    Step("clips", make_clips, lambda shot: bool(shot.motion_prompt)),
    Step("cuts", make_cuts, lambda shot: bool(shot.motion_prompt)),
    Step("archive", write_shot, lambda _: True, always=True),
)
STEPS = {step.name: step for step in PIPELINE}

# Runs a step for some shots, as `run_step` does: directly, or as a task of a scheduler.
Runner = Callable[[Step, Sequence[ShotState]], Awaitable[object]]


async def run_pipeline(run: RunContext, shots: Sequence[Shot], runner: Runner | None = None) -> None:
    """Take a group of shots through the pipeline.

    Each shot goes through the steps that are its own. Shots that others of the group are made of go beside these, not
    with them: a step of a shot waits for steps of its parent.

    What goes wrong with one ends that shot alone, and is recorded on it. Nothing but a cancellation is raised.
    """
    parts = [run.state.hold(some) for some in by_depth(shots)]
    await gather_all(_run_steps(run, works, runner) for works in parts)


async def _run_steps(run: RunContext, works: Sequence[ShotState], runner: Runner | None) -> None:
    for work in works:
        tell("shot begins", _fields_of(run, work))
    left = ShotOutcome.PENDING
    try:
        await _run_each(run, works, runner)
        left = ShotOutcome.DONE
    finally:
        for work in works:
            work.is_over = True
            work.move()
            ended = work.ended or work.postponed or left
            failures = [f"{one.step}: {one.kind}" for one in work.failures_of_all()]
            tell("shot ends", {**_fields_of(run, work), "outcome": ended.value, "failures": failures})


def _fields_of(run: RunContext, work: ShotState) -> dict[str, object]:
    return {"batch": run.batch.name, "mode": run.batch.mode, "shot": work.shot.id}


async def _run_each(run: RunContext, works: Sequence[ShotState], runner: Runner | None) -> None:
    for step in PIPELINE:
        chosen = [work for work in works if step.takes(work)]
        if not chosen:
            continue
        try:
            await (runner(step, chosen) if runner else run_step(run, step, chosen))
        except Exception as error:
            stopped = [work for work in chosen if work.stopped_by is not None] or chosen
            for work in stopped:
                give_up(run, work, work.stopped_by or error)
        for work in chosen:
            work.move()


async def run_step(run: RunContext, step: Step, works: Iterable[ShotState]) -> dict[str, Any]:
    """Run a step for the shots that go through it, each to its end.

    Returns the account of it. A bug ends its own shot. When archive or ledger were out of reach, that is raised once
    all have ended: the step is worth repeating, and `Work.stopped_by` tells for which shots. The account is what a
    scheduler keeps, as JSON.
    """
    works = list(works)
    chosen = [work for work in works if step.takes(work)]
    for work in chosen:
        work.stopped_by = None
    ended = await asyncio.gather(*(step.function(run, work) for work in chosen), return_exceptions=True)
    for work, error in zip(chosen, ended, strict=True):
        if isinstance(error, CallsheetError) and is_transient(error):
            work.stopped_by = error
        elif isinstance(error, Exception):  # a bug ends its shot, never the batch; it is in the log and the report
            give_up(run, work, error)
        elif error is not None:
            raise error
    if (stopped := next((work.stopped_by for work in chosen if work.stopped_by is not None), None)) is not None:
        raise stopped
    return {"shots": len(works), "ended": {work.shot.id: work.ended.value for work in works if work.ended}}


def give_up(run: RunContext, work: ShotState, error: Exception) -> None:
    """Note on a shot that has not ended what stopped it.

    What is no error of a known kind is a crash of ours.
    """
    work.stopped_by = None
    if isinstance(error, CallsheetError):
        failure, state = failure_of("batch", error), state_of(error)
    else:
        log.exception("Shot %s stopped by an error of callsheet's own", work.shot.id, exc_info=error)
        run.state.count_crashes()
        message = f"An error of callsheet's own: {str(error)[:_MOST_CHARACTERS]}. Run it again; if it stays, report it."
        failure, state = Failure("batch", type(error).__name__, message), ShotOutcome.FAILED
    if work.going:
        work.fail(failure, state)
