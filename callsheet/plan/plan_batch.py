"""The plan of a whole batch.

The shots' actions, what of it fits budget and quota, and when all of it is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from callsheet.models import Catalogue
from callsheet.plan.actions import ZERO, Action, Plan, ShotPlan
from callsheet.plan.clip_choice import find_step_before, list_whole_clips, park_steps
from callsheet.plan.cuts import clip_size
from callsheet.plan.extensions import count_steps
from callsheet.plan.forecast import make_forecast, pacific
from callsheet.plan.frames import decide_frames
from callsheet.plan.grouping import groups
from callsheet.plan.inputs import Conditions, Known, Money, WorkSeconds, fitting
from callsheet.plan.models_used import list_models
from callsheet.plan.parents import depth_of, parents_of, with_parents
from callsheet.plan.pipeline import Errand, Item, Number
from callsheet.plan.plan_edits import find_awaited_items, park_children
from callsheet.plan.plan_shot import awaiting_clip, plan_shot
from callsheet.platforms import Platforms, load_platforms
from callsheet.shots import Batch, Shot


def plan_batch(
    batch: Batch,
    shots: Iterable[Shot],
    known: Known,
    catalogue: Catalogue,
    conditions: Conditions | None = None,
    platforms: Platforms | None = None,
) -> Plan:
    """Plan a batch from values alone; the same values give the same plan.

    `platforms` are those of the cuts, the built-in ones by default. With `conditions` it also says what does not fit
    the budget or today's quota, and when everything is done.
    """
    platforms = platforms or load_platforms()
    catalogue = catalogue.price_at(conditions.now) if conditions is not None else catalogue
    filled = with_parents(batch, tuple(shots), known)
    items = _pay_once(plan_shot(batch, shot, known, catalogue, platforms) for shot in filled)
    asked = {item.shot.id for item in items}
    dropped = tuple(shot for shot in known.shots if shot not in asked)
    if conditions is None:
        return Plan(batch, tuple(items), dropped)
    cut_off = conditions.unreachable if conditions.has_credentials else {}
    items, money = within_budget([_park_unreachable(_unpark(item), cut_off) for item in items], conditions.money)
    forecast, course = make_forecast(_group_errands(items, conditions, platforms), conditions)
    items = park_children([_park_for_quota(number, item, course.parked) for number, item in enumerate(items)])
    items = [_park_cuts(_park_clips(one)) if parents_of(one.shot) or count_steps(one.shot) else one for one in items]
    return Plan(
        batch,
        tuple(items),
        dropped,
        money,
        forecast,
        unreachable=conditions.unreachable,
        has_credentials=conditions.has_credentials,
        models=list_models(items, catalogue, conditions.routes, conditions.now.date()),
        routes={model: route.name for model, route in conditions.routes.items()},
    )


def _pay_once(items: Iterable[ShotPlan]) -> list[ShotPlan]:
    """Return the plans with each job paid for by the first shot that wants it.

    The others get its file for nothing.
    """
    first: dict[str, str] = {}
    found = []
    for item in items:
        shared = [action for action in item.actions if action.sent and action.job_key in first]
        for action in item.actions:
            if action.sent and action.job_key:
                first.setdefault(action.job_key, item.shot.id)
        found.append(_share_jobs(item, shared, first) if shared else item)
    return found


def _share_jobs(item: ShotPlan, shared: Sequence[Action], first: Mapping[str, str]) -> ShotPlan:
    actions = [
        replace(
            action,
            what="resume",
            why=f"asked for by {first[action.job_key or '']} too: is made and paid for once",
            usd=ZERO,
            extra_usd=ZERO,
        )
        if action in shared
        else action
        for action in item.actions
    ]
    return replace(item, actions=tuple(actions))


def _park_unreachable(item: ShotPlan, unreachable: Mapping[str, str]) -> ShotPlan:
    """Park a shot's requests to models that no credentials lead to.

    And what would be made of them.
    """
    if not any(action.model in unreachable for action in item.actions):
        return item
    actions = [_cut_off(action, unreachable.get(action.model or "", "")) for action in item.actions]
    return _park_cuts(_park_clips(replace(item, actions=tuple(actions)), affordable=False))


def _cut_off(action: Action, why: str) -> Action:
    if why and action.what == "create":
        return replace(action, what="parked", why=why, usd=ZERO, extra_usd=ZERO)
    return replace(action, why=f"{action.why}; {why}") if why and action.since else action


def within_budget(items: Sequence[ShotPlan], money: Money) -> tuple[list[ShotPlan], Money]:
    """Return the plans with those requests parked that do not fit the budget.

    Pictures have their turn first, then clips.
    """
    if money.budget is None:
        return list(items), money
    paid = [
        (shot, place)
        for kind in ("image", "video")
        for shot, item in sorted(enumerate(items), key=lambda each: depth_of(each[1].shot))
        for place, action in enumerate(item.actions)
        if action.kind == kind and action.sent
    ]
    prices = [items[shot].actions[place].usd_held for shot, place in paid]
    fits = fitting(prices, money.budget, money.position)
    short = {where for where, fit in zip(paid, fits, strict=True) if not fit}
    parked = [_park_for_money(number, item, short) for number, item in enumerate(items)]
    parked = [_park_cuts(_park_clips(item, affordable=False)) for item in park_children(parked, affordable=False)]
    lacking = [usd for usd, fit in zip(prices, fits, strict=True) if not fit]
    return parked, replace(money, parked=len(lacking), parked_usd=sum(lacking, ZERO))


def _park_for_money(number: int, item: ShotPlan, short: set[Number]) -> ShotPlan:
    """Park what the budget does not allow in a shot, and what would be made of that."""
    actions = [
        replace(action, what="parked", why=f"${action.usd:.3f} does not fit the budget", usd=ZERO, extra_usd=ZERO)
        if (number, place) in short
        else action
        for place, action in enumerate(item.actions)
    ]
    return replace(item, actions=tuple(actions))


def _park_clips(item: ShotPlan, *, affordable: bool = True) -> ShotPlan:
    """Park the clips of a shot with the takes that their frames are chosen from."""
    takes = [action for action in item.actions if action.kind == "image"]
    parked = [number for number, take in enumerate(takes, 1) if take.what == "parked"]
    awaited = decide_frames(item.shot, parked, None, ()).awaited
    if item.shot.select == "approve" or not awaited:
        return item
    free: dict[str, Any] = {} if affordable else {"usd": ZERO, "extra_usd": ZERO}
    actions = [
        replace(awaiting_clip(action, takes, awaited), **free)
        if (action.kind, action.what, action.job_key) == ("video", "create", None)
        else action
        for action in item.actions
    ]
    return replace(item, actions=tuple(actions))


def _park_cuts(item: ShotPlan) -> ShotPlan:
    """Park the cuts of a shot, and the steps of its clips, as their clips are."""
    item = park_steps(item)
    clips = list_whole_clips(item.shot, item.actions)
    of_each = len(item.shot.cuts)
    actions, cuts = [], 0
    for action in item.actions:
        if action.kind == "cut":
            clip, cuts = clips[cuts // of_each], cuts + 1
            if clip.what == "parked" and action.what == "create":
                action = replace(action, what="parked", until=clip.until)
        actions.append(action)
    return replace(item, actions=tuple(actions))


def _unpark(item: ShotPlan) -> ShotPlan:
    """Return the shot without what an earlier run parked.

    Whether it fits is decided again.
    """
    if not any(action.what == "parked" for action in item.actions):
        return item
    after = f"after {item.shot.edit_of}" if item.shot.edit_of and item.shot.edit_of.picture is None else ""
    actions = [
        replace(a, what="create", why=after if a.kind == "image" else "", until=None) if a.what == "parked" else a
        for a in item.actions
    ]
    return replace(item, actions=tuple(actions))


def _park_for_quota(number: int, item: ShotPlan, parked: Mapping[Number, datetime]) -> ShotPlan:
    actions = list(item.actions)
    for place, action in enumerate(actions):
        until = parked.get((number, place))
        if until is not None:
            why = f"today's requests are used up: goes on {pacific(until)}"
            actions[place] = replace(action, what="parked", why=why, until=until)
    if tuple(actions) == item.actions:
        return item
    return _park_cuts(_park_clips(replace(item, actions=tuple(actions))))


def _group_errands(items: Sequence[ShotPlan], conditions: Conditions, platforms: Platforms) -> list[Errand]:
    """Return what is to be made, in the groups in which a run makes it."""
    going = [(number, item) for number, item in enumerate(items) if not item.complete]
    numbers = {
        (item.shot.id, action.slot): (number, place)
        for number, item in going
        for place, action in enumerate(item.actions)
        if action.kind == "image" and action.what in ("create", "resume")
    }
    # As in a run: what waits for a shot of its group goes beside that shot, not with it.
    parts = (part for group in groups(going) for part in _part_by_depth(group))
    return [_make_errand(part, conditions, platforms, numbers) for part in parts]


def _part_by_depth(group: Sequence[tuple[int, ShotPlan]]) -> list[list[tuple[int, ShotPlan]]]:
    depths = sorted({depth_of(item.shot) for _, item in group})
    return [[each for each in group if depth_of(each[1].shot) == depth] for depth in depths]


def _make_errand(
    group: Sequence[tuple[int, ShotPlan]],
    conditions: Conditions,
    platforms: Platforms,
    numbers: Mapping[tuple[str, str], Number],
) -> Errand:
    made = [
        Item(
            (number, place),
            action.kind,
            action.model,
            action.sent,
            (conditions.now - action.since).total_seconds() if action.since else None,
            _estimate_work_s(item.shot, action, conditions.effort, platforms=platforms),
            action.usd,
            find_step_before(number, place, item) or find_awaited_items(item.shot, action, numbers),
        )
        for number, item in group
        for place, action in enumerate(item.actions)
        if action.what in ("create", "resume")
    ]
    images, videos, cuts = ([item for item in made if item.kind == kind] for kind in ("image", "video", "cut"))
    takes = sum(item.shot.takes for _, item in group if item.shot.takes > 1 or item.shot.motion_prompt)
    return Errand(takes, images, videos, cuts)


def _estimate_work_s(shot: Shot, action: Action, effort: WorkSeconds, *, platforms: Platforms) -> float:
    if action.kind == "image":
        return effort.image_s
    if action.kind == "video":
        return effort.video_s
    spec, (width, height) = platforms.get(action.slot.removeprefix("cut-")), clip_size(shot)
    aspect = spec.aspect_for(width, height)
    return effort.of_cut(float(aspect), float(width / height), int(min(width, height)), shot.length_s or 8)
