"""How a run of ours ends on the Prefect server: a state that its filters find.

Prefect's pages (3.8.8) filter runs by the names that Prefect itself gives to states, and colour them by their type. So
what failed is Failed, what waits for a person is Paused, and what is parked is Suspended. Both can be resumed with a
click where a deployment made the run.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec
from uuid import UUID

from prefect import Flow, get_client, get_run_logger
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterName,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.context import FlowRunContext
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, Paused

from callsheet.errors import CallsheetError
from callsheet.exit_codes import ExitCode
from callsheet.orchestration.artifacts import publish_markdown, published
from callsheet.orchestration.otel_export import telling_of_run
from callsheet.orchestration.run_logs import show_own_lines
from callsheet.report.markdown import mistake_markdown
from callsheet.settings import load_settings
from callsheet.shots import Batch

P = ParamSpec("P")

# The names of Prefect's own pages for what goes on later.
_NAMES = {ExitCode.WAITING: "Paused", ExitCode.PARKED: "Suspended"}
# A part of another run's work is over for good, however its shots stand.
UNFINISHED = "Unfinished"
_PARTS = {ExitCode.UNFINISHED: "Partly done", ExitCode.PARKED: "Parked", ExitCode.WAITING: "Waiting"}
_LONGEST_MESSAGE = 2000


def end_state(summary: Mapping[str, Any], *more: str) -> State[dict[str, Any]]:
    """Return the final state of a run by the exit code of its summary.

    `summary` has `shots` by state as well; `more` is added to the message.
    """
    code, message, data = ExitCode(summary["exit_code"]), _describe(summary, *more), dict(summary)
    if code in _NAMES:
        return Paused(name=_NAMES[code], message=message, data=data, reschedule=_is_deployed())
    if code in (ExitCode.DONE, ExitCode.UNFINISHED):
        return Completed(name=_PARTS.get(code, "Completed"), message=message, data=data)
    return Failed(message=message, data=data)


def end_state_of_part(summary: Mapping[str, Any]) -> State[dict[str, Any]]:
    """Return the final state of a run that does a part of another one's work."""
    code = ExitCode(summary["exit_code"])
    name = "Completed" if code is ExitCode.DONE else _PARTS.get(code, UNFINISHED)
    return Completed(name=name, message=_describe(summary), data=dict(summary))


def _describe(summary: Mapping[str, Any], *more: str) -> str:
    shots, held = summary["shots"], summary.get("usd", {}).get("held")
    counted = {state.replace("_", " "): count for state, count in shots.items() if state not in ("total", "done")}
    rest = ", ".join(f"{count} {state}" for state, count in counted.items() if count)
    done, money = f"{shots['done']} of {shots['total']} shots done", f"${held or 0:.2f} held by requests"
    told = (done, rest, *more, f"{money} that are not settled" if held else "")
    return "; ".join(part for part in told if part)


def _is_deployed() -> bool:
    """Return whether a worker takes the run again when it is resumed."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return run is not None and run.deployment_id is not None and run.parent_task_run_id is None


def tell_mistakes(work: Callable[P, Coroutine[Any, Any, Any]]) -> Callable[P, Coroutine[Any, Any, Any]]:
    """Have a flow end as failed, in one sentence and a page, for an error of ours.

    Whoever calls the flow is raised the error, as without. Anything else is a bug, and shown with its traceback.
    """

    @wraps(work)
    async def in_words(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            show_own_lines(load_settings())
            async with telling_of_run(work.__name__) as tell_outcome:
                ended = await work(*args, **kwargs)
                tell_outcome(_outcome_of(ended))
            return ended
        except CallsheetError as error:
            if FlowRunContext.get() is None:
                raise  # no run, but a call of the flow's function
            get_run_logger().error("%s", error)
            name = str(flow_run.name)
            page = publish_markdown(name, "failures", mistake_markdown(error), f"Why {name} made nothing more")
            await published("failures", page)
            return Failed(message=str(error)[:_LONGEST_MESSAGE], data=error)

    # Prefect looks for the types of a form's fields in this module else.
    in_words.__signature__ = signature(work, eval_str=True)  # type: ignore[attr-defined]
    return in_words


def _outcome_of(ended: object) -> str:
    """Return how a run ended in a word: that of its exit code, else of its state."""
    told = result_of(ended) if isinstance(ended, State) else ended
    if isinstance(told, Mapping) and "exit_code" in told:
        return ExitCode(told["exit_code"]).name.lower()
    return str(ended.name or ended.type.value).lower() if isinstance(ended, State) else "done"


async def carry_out(flow: Flow[..., Coroutine[Any, Any, Any]], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Run a flow in this process and return the summary it ends with, however that is.

    The error that it failed of is raised.
    """
    state: State[Any] = await flow(**parameters, return_state=True)
    told = result_of(state)
    if isinstance(told, BaseException):
        raise told
    if state.is_paused() and not state.state_details.pause_reschedule:
        await _bar_resuming(state)
    return dict(told)


def result_of(state: State[Any]) -> Any:
    """Return what a run of this process returned, or its error."""
    return getattr(state.data, "result", state.data)  # Prefect wraps what is returned


async def _bar_resuming(state: State[Any]) -> None:
    """Have the server refuse to resume a run that no worker would take.

    It would show it as running for ever.
    """
    run = state.state_details.flow_run_id
    if run is None:
        return
    barred: State[None] = Paused(name=state.name, message=state.message, reschedule=True)
    async with get_client() as client:
        await client.set_flow_run_state(run, barred, force=True)


async def close_earlier(batch: Batch) -> None:
    """End the batch's earlier runs that wait or are parked: this one went on with it."""
    wanted = FlowRunFilter(
        name=FlowRunFilterName(any_=[batch.name]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])),
    )
    async with get_client() as client:
        for run in await client.read_flow_runs(flow_run_filter=wanted):
            if str(run.id) != flow_run.id:
                await _close(client, run.id)


async def _close(client: PrefectClient, run: UUID) -> None:
    over: State[None] = Completed(message=f"A later run, {flow_run.id}, went on with the batch.")
    # What may not be resumed may not be ended either, by the server's rules.
    await client.set_flow_run_state(run, over, force=True)
