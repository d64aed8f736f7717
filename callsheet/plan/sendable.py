"""Requests of a plan that may not be sent: why, and whose they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from callsheet.errors import ManifestError, Problem
from callsheet.manifest.left_out import LeftOut
from callsheet.manifest.problems import Unsendable, quote_value
from callsheet.plan.actions import Kind, Plan
from callsheet.plan.parents import parents_of
from callsheet.shots import Shot

# Between the id of a row and the number of one of its edits.
_STEP = "-edit-"


def _want_all(_shot: str) -> bool:
    return True


def check_sendable(plan: Plan, unsendable: Iterable[Unsendable], is_wanted: Callable[[str], bool] = _want_all) -> None:
    """Raise ManifestError with all that speaks against requests still to be sent.

    Only those for shots that are wanted count.
    """
    to_send = _find_requests(plan)
    found = dict.fromkeys(
        each.problem for each in unsendable if (each.shot, each.kind) in to_send and is_wanted(each.shot)
    )
    if found:
        raise ManifestError(tuple(sorted(found, key=lambda problem: (problem.file, problem.line))))


def find_refused(
    plan: Plan, unsendable: Sequence[Unsendable], is_wanted: Callable[[str], bool] = _want_all
) -> tuple[LeftOut, ...]:
    """Return the shots with requests still to be sent that may not be, to be left out.

    With what is made of them, and all shots of their rows. What concerns the whole sheet is not among it.
    """
    to_send = _find_wished(plan)
    found: dict[str, tuple[Problem, ...]] = {}
    for each in unsendable:
        if not each.of_sheet and (each.shot, each.kind) in to_send and is_wanted(each.shot):
            found[each.shot] = tuple(dict.fromkeys((*found.get(each.shot, ()), each.problem)))
    shots = [item.shot for item in plan.shots]
    _add_whole_rows(shots, found)
    while more := {shot.id: (problem,) for shot in shots if (problem := _find_parent(shot, found))}:
        found |= more
    return tuple(LeftOut(shot.id, shot.line, found[shot.id]) for shot in shots if shot.id in found)


def _add_whole_rows(shots: Sequence[Shot], found: dict[str, tuple[Problem, ...]]) -> None:
    """Add the shots of the same rows: one with `edits` makes several."""
    for shot in reversed(shots):
        above = shot.edit_of.shot if shot.edit_of else None
        if shot.id in found and above is not None and above.line == shot.line and _is_step(shot.id, above.id):
            found.setdefault(above.id, found[shot.id])


def _is_step(shot: str, above: str) -> bool:
    return shot.rpartition(_STEP)[0] in (above, above.rpartition(_STEP)[0])


def _find_parent(shot: Shot, found: Mapping[str, Sequence[Problem]]) -> Problem | None:
    """Return what is wrong with a shot that is made of one that is left out."""
    parent = next((each.shot.id for each in parents_of(shot) if each.shot.id in found), None)
    if parent is None or shot.id in found:
        return None
    column = "edit_of" if shot.edit_of and shot.edit_of.shot.id == parent else "video_references"
    file = found[parent][0].file
    return Problem(file, shot.line, column, f"it is made of {quote_value(parent)}, which is left out")


def _find_wished(plan: Plan) -> set[tuple[str, Kind]]:
    """Return shot and kind of all requests to be sent, by whichever shot.

    Two shots that ask for the same are planned as one request, of the first: without that shot it is the other's.
    """
    sent = {action.job_key for item in plan.shots for action in item.actions if action.sent}
    shared = {
        (item.shot.id, action.kind)
        for item in plan.shots
        for action in item.actions
        if action.job_key is not None and action.job_key in sent
    }
    return _find_requests(plan) | shared


def _find_requests(plan: Plan) -> set[tuple[str, Kind]]:
    """Return shot and kind of all requests to be sent.

    Those that go out now, later, or once a person has chosen.
    """
    return {
        (item.shot.id, action.kind)
        for item in plan.shots
        for action in item.actions
        if action.what in ("create", "parked") or (action.what == "waiting" and action.job_key is None)
    }
