"""The plan of what is made of other shots' takes: after their parents. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from callsheet.decisions import holding
from callsheet.plan.actions import ZERO, Action, ShotPlan, What
from callsheet.plan.frames import is_chosen_by_scores, list_made_takes, pin_of
from callsheet.plan.inputs import Known
from callsheet.plan.parents import AwaitedTake, depth_of, find_awaited, picture_parents_of, video_parents_of
from callsheet.plan.pipeline import Number
from callsheet.plan.requests import take_slot
from callsheet.shots import Batch, ParentTake, Shot, ShotOutcome

_WHAT: dict[ShotOutcome, What] = {
    ShotOutcome.PENDING: "create",
    ShotOutcome.PARKED: "parked",
    ShotOutcome.WAITING: "waiting",
}


def plan_awaited_take(new: Action, shot: Shot, awaited: AwaitedTake, *, is_known: bool) -> Action:
    """Return the action for a picture whose parent is not there yet.

    `new` is the action if it were. `is_known`: the shot has had such a picture, made of what the parent was before.
    """
    what, parent = _WHAT[awaited.state], shot.edit_of
    if what == "create" and (asked := _find_asked(shot)):
        why = f"made of {parent}: a person chooses among the takes of {asked} first"
        return replace(new, what="waiting", why=why, job_key=None, wish=new.job_key, usd=ZERO, extra_usd=new.usd_high)
    told = f"made anew after {parent}, which is made anew" if is_known else f"after {parent}"
    why = told if what == "create" else f"made of {parent}: {awaited.why.rstrip('.')}"
    action = replace(new, what=what, why=why, job_key=None, wish=new.job_key)
    return replace(action, usd=ZERO, extra_usd=new.usd_high) if what == "waiting" else action


def plan_awaited_clips(batch: Batch, shot: Shot, known: Known, clips: list[Action]) -> list[Action]:
    """Return the actions for a shot's clips, which may keep to takes to come.

    `clips` are the actions if all takes were there.
    """
    awaited = find_awaited(batch, shot, known, video_parents_of(shot))
    return clips if awaited is None else [_plan_awaited_clip(clip, shot, awaited) for clip in clips]


def _plan_awaited_clip(new: Action, shot: Shot, awaited: AwaitedTake) -> Action:
    if not new.sent:
        return new
    what, names = _WHAT[awaited.state], " and ".join(str(one) for one in video_parents_of(shot) if one.picture is None)
    why = f"after {names}" if what == "create" else f"keeps to {names}: {awaited.why.rstrip('.')}"
    action = replace(new, what=what, why=why, job_key=None, wish=new.job_key)
    return replace(action, usd=ZERO, extra_usd=new.usd_high) if what == "waiting" else action


def _find_asked(shot: Shot) -> str:
    """Return the first shot above about which a person is asked; "" for none."""
    parent = shot.edit_of
    if parent is None or parent.picture is not None:
        return ""
    return _find_asked(parent.shot) or (parent.shot.id if parent.shot.select == "approve" else "")


def find_open_choice(batch: Batch, shot: Shot, known: Known) -> Literal["", "scores", "approval"]:
    """Return how a take is still to be chosen for what is made of it; "" for none."""
    if not shot.is_parent:
        return ""
    if is_chosen_by_scores(shot):
        return "" if pin_of(batch, shot, known) else "scores"
    if shot.select != "approve" or shot.motion_prompt:
        return ""
    return "" if holding(known.decisions.get(shot.id, ()), list_made_takes(batch, shot, known)) else "approval"


def park_children(items: Sequence[ShotPlan], *, affordable: bool = True) -> list[ShotPlan]:
    """Park the pictures of which a parent is parked, which pays later than they would."""
    found = {item.shot.id: item for item in items}
    for item in sorted(items, key=lambda item: depth_of(item.shot)):
        for kind, parents in (("image", picture_parents_of(item.shot)), ("video", video_parents_of(item.shot))):
            if (parked := _find_parked_parent(parents, found)) is not None:
                found[item.shot.id] = _park_actions(found[item.shot.id], kind, *parked, affordable=affordable)
    return [found[item.shot.id] for item in items]


def _find_parked_parent(
    parents: Sequence[ParentTake], items: Mapping[str, ShotPlan]
) -> tuple[ParentTake, Action] | None:
    """Return the first of the parents that is parked, and its action."""
    for parent in parents:
        above = items.get(parent.shot.id)
        if parent.picture is None and above is not None:
            wanted = None if parent.take is None else f"take-{parent.take}"
            takes = (a for a in above.actions if a.kind == "image" and wanted in (None, a.slot))
            if (parked := next((a for a in takes if a.what == "parked"), None)) is not None:
                return parent, parked
    return None


def _park_actions(item: ShotPlan, kind: str, parent: ParentTake, above: Action, *, affordable: bool) -> ShotPlan:
    def park(action: Action) -> Action:
        if (action.kind, action.what, action.job_key) != (kind, "create", None):
            return action
        why = f"{'made of' if kind == 'image' else 'keeps to'} {parent}, which is parked"
        parked = replace(action, what="parked", why=why, until=above.until)
        return parked if affordable else replace(parked, usd=ZERO, extra_usd=ZERO)

    return replace(item, actions=tuple(map(park, item.actions)))


def find_awaited_items(shot: Shot, action: Action, numbers: Mapping[tuple[str, str], Number]) -> tuple[Number, ...]:
    """Return which of the pictures still to be made (`numbers`) come before this one."""
    if action.kind == "cut" or action.job_key is not None:
        return ()
    of_kind = picture_parents_of(shot) if action.kind == "image" else video_parents_of(shot)
    parents = (parent for parent in of_kind if parent.picture is None)
    slots = [(one.shot.id, take_slot(take)) for one in parents for take in _list_needed(one)]
    return tuple(numbers[slot] for slot in slots if slot in numbers)


def _list_needed(parent: ParentTake) -> Sequence[int]:
    """Return the takes that must be there before it is known which one is meant."""
    return range(1, parent.shot.takes + 1) if parent.take is None else (parent.take,)
