"""The plan of a whole batch.

The shots' actions, what of it fits budget and quota, and when all of it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from callsheet.errors import ManifestError
from callsheet.manifest.problems import Unsendable
from callsheet.models import Catalogue
from callsheet.plan.actions import ZERO, Action, Kind, Plan, ShotPlan
from callsheet.plan.cuts import clip_size
from callsheet.plan.forecast import make_forecast, pacific
from callsheet.plan.frames import decide_frames
from callsheet.plan.grouping import groups
from callsheet.plan.inputs import Conditions, Known, WorkSeconds
from callsheet.plan.money import Money, fitting
from callsheet.plan.pipeline import Errand, Item, Number
from callsheet.plan.plan_shot import awaiting_clip, plan_shot
from callsheet.platforms import Platforms, load_platforms
from callsheet.shots import Batch, Shot


def check_sendable(
    plan: Plan, unsendable: Iterable[Unsendable], is_wanted: Callable[[str], bool] = lambda _shot: True
) -> None:
    """Raise ManifestError with all that speaks against requests still to be sent.

    Only those for shots that are wanted count.
    """
    to_send = _find_requests(plan)
    found = dict.fromkeys(
        each.problem for each in unsendable if (each.shot, each.kind) in to_send and is_wanted(each.shot)
    )
    if found:
        raise ManifestError(tuple(sorted(found, key=lambda problem: (problem.file, problem.line))))


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
    catalogue = catalogue.priced_at(conditions.now) if conditions is not None else catalogue
    items = _pay_once(plan_shot(batch, shot, known, catalogue, platforms) for shot in shots)
    asked = {item.shot.id for item in items}
    dropped = tuple(shot for shot in known.shots if shot not in asked)
    if conditions is None:
        return Plan(batch, tuple(items), dropped)
    items, money = within_budget([_unpark(item) for item in items], conditions.money)
    forecast, course = make_forecast(_group_errands(items, conditions, platforms), conditions)
    items = [_park_for_quota(number, item, course.parked) for number, item in enumerate(items)]
    return Plan(batch, tuple(items), dropped, money, forecast)


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


def within_budget(items: Sequence[ShotPlan], money: Money) -> tuple[list[ShotPlan], Money]:
    """Return the plans with those requests parked that do not fit the budget.

    Pictures have their turn first, then clips.
    """
    if money.budget is None:
        return list(items), money
    paid = [
        (shot, place)
        for kind in ("image", "video")
        for shot, item in enumerate(items)
        for place, action in enumerate(item.actions)
        if action.kind == kind and action.sent
    ]
    prices = [items[shot].actions[place].usd for shot, place in paid]
    fits = fitting(prices, money.budget, money.position)
    short = {where for where, fit in zip(paid, fits, strict=True) if not fit}
    parked = [_park_for_money(number, item, short) for number, item in enumerate(items)]
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
    return _park_cuts(_park_clips(replace(item, actions=tuple(actions)), affordable=False))


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
    """Park the cuts of a shot as their clips are."""
    clips = [action for action in item.actions if action.kind == "video"]
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
    actions = [replace(a, what="create", why="", until=None) if a.what == "parked" else a for a in item.actions]
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
    return [_make_errand(group, conditions, platforms) for group in groups(going)]


def _make_errand(group: Sequence[tuple[int, ShotPlan]], conditions: Conditions, platforms: Platforms) -> Errand:
    made = [
        Item(
            (number, place),
            action.kind,
            action.model,
            action.sent,
            (conditions.now - action.since).total_seconds() if action.since else None,
            _estimate_work_s(item.shot, action, conditions.effort, platforms=platforms),
            action.usd,
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
    return effort.of_cut(float(aspect), float(width / height), int(min(width, height)), shot.duration_s or 8)
