"""The approve_frames flow: decisions from a form, and the batch goes on."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed

from callsheet.batch.approve import Decided, decide
from callsheet.batch.resume import continuation
from callsheet.errors import CannotContinue
from callsheet.orchestration.end_states import tell_mistakes
from callsheet.orchestration.forms import DecidedBatch, DecidedBy, FrameChoices, GoOn
from callsheet.orchestration.local_server import local_server
from callsheet.orchestration.resume import continue_batch
from callsheet.settings import Settings, load_settings
from flows.content_batch import flow_of


@flow(
    name="approve-frames",
    flow_run_name="approve · {batch}",
    description="Decide which takes of waiting shots are chosen. Deciding the same twice is harmless.",
    persist_result=False,
    validate_parameters=True,
)
@tell_mistakes
async def approve_frames(batch: DecidedBatch, decisions: FrameChoices, by: DecidedBy, go_on: GoOn = True) -> Any:
    """Record the decisions, all or none, as `callsheet approve` does.

    With `go_on` the batch goes on by them.

    Returns what was `decided`, the shots that are still `waiting`, and the run that was `started`, or the summary of
    the `run` that was made here. UsageError, with nothing recorded, for a batch, shot or take that is not there.
    """
    settings = load_settings()
    decided = await decide(settings, batch, [choice.wish() for choice in decisions], by)
    for one in decided.recorded:
        get_run_logger().info("%s: %s (%s)", one.decision.shot, one.decision.describe(), one.how)
    went_on = await _go_on(decided, settings) if go_on else {}
    return _final_state(decided, went_on)


async def _go_on(decided: Decided, settings: Settings) -> dict[str, Any]:
    if not decided.goes_on:
        return {}
    try:
        asked = await continuation(decided.row, settings)
    except CannotContinue as error:
        get_run_logger().warning("The decisions are recorded, and the batch does not go on by itself. %s", error)
        return {"left": str(error)}
    return await continue_batch(decided.row.batch, asked.request, flow_of(asked))


def _final_state(decided: Decided, went_on: dict[str, Any]) -> State[dict[str, Any]]:
    new = sum(one.how != "same" for one in decided.recorded)
    same, waiting = len(decided.recorded) - new, len(decided.waiting)
    rest = (f"{same} as before" if same else "", f"{waiting} still to be decided" if waiting else "")
    message = "; ".join(part for part in (f"{new} decided", *rest, str(went_on.get("left", ""))) if part)
    return Completed(name="Decided", message=message, data={"exit_code": 0, **decided.as_json(), **went_on})


if __name__ == "__main__":
    with local_server():
        approve_frames.serve(name="approve-frames")
