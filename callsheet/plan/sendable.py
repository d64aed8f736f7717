"""Whether everything that a plan would send may be sent. What was made or is under way is not judged again."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from callsheet.errors import ManifestError
from callsheet.manifest.problems import Unsendable
from callsheet.plan.actions import Kind, Plan


def check_sendable(
    plan: Plan, unsendable: Iterable[Unsendable], is_wanted: Callable[[str], bool] = lambda _shot: True
) -> None:
    """Raise ManifestError with all that speaks against requests still to be sent for shots that are wanted."""
    to_send = _to_send(plan)
    found = dict.fromkeys(
        each.problem for each in unsendable if (each.shot, each.kind) in to_send and is_wanted(each.shot)
    )
    if found:
        raise ManifestError(tuple(sorted(found, key=lambda problem: (problem.file, problem.line))))


def _to_send(plan: Plan) -> set[tuple[str, Kind]]:
    """Shot and kind of all requests that go out now, later, or once a person has chosen."""
    return {
        (item.shot.id, action.kind)
        for item in plan.shots
        for action in item.actions
        if action.what in ("create", "parked") or (action.what == "waiting" and action.job_key is None)
    }
