"""Several clips of one frame: their orders, and which of them goes on.

The choice is made once, when all of them are there or have ended, and is on record before anything that is paid for is
made of it. Plan and run ask these functions. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from callsheet.decisions import FramePin
from callsheet.ledger import Job, JobOrder
from callsheet.plan.actions import Action, ShotPlan
from callsheet.plan.extensions import count_steps, read_clip_slot, step_of, step_order
from callsheet.plan.frames import OVER, is_sent, list_made_takes
from callsheet.plan.inputs import Known
from callsheet.plan.pipeline import Number
from callsheet.plan.requests import clip_order, clip_slot, text_clip_order
from callsheet.shots import Batch, Shot

# What had to be left undecided, for ledger and sidecar.
TO_COME = "ClipsToCome"
_MADE_OF = "another was made of it before"


def order_variants(batch: Batch, shot: Shot, first: JobOrder) -> list[JobOrder]:
    """Return the orders of all clips of a frame, of which `first` is the first."""
    take = first.request["take"]
    frame = str(first.request["inputs"][0]) if take is not None else None
    return [first, *(clip_order(batch, shot, take, frame, n) for n in range(2, shot.clips + 1))]


def clip_wish_of(shot: Shot, first: JobOrder) -> str:
    """Return the sha256 of what a choice among the clips of a frame answers."""
    word = ["first"] if shot.select_clip == "first" else []
    return hashlib.sha256(json.dumps(["clip", first.key, *word]).encode()).hexdigest()


def find_clip_pin(
    batch: Batch, shot: Shot, orders: Sequence[JobOrder], jobs: Mapping[str, Job], pins: Sequence[FramePin]
) -> FramePin | None:
    """Return the clip on record among those of a frame; None when none is chosen.

    `take` is its number.     What was made of one has chosen it, should the record be lost.
    """
    made = list_made_clips(orders, jobs)
    wish = clip_wish_of(shot, orders[0])
    on_record = next((pin for pin in reversed(pins) if pin.holds_for(wish, made)), None)
    if on_record is not None or not count_steps(shot):
        return on_record
    for n, sha256 in made.items():
        place = read_clip_slot(orders[n - 1].slot).after(1, shot)
        if is_sent(jobs.get(step_order(batch, shot, place, sha256).key)):
            return FramePin(batch.name, shot.id, wish, n, sha256, _MADE_OF)
    return None


def list_made_clips(orders: Sequence[JobOrder], jobs: Mapping[str, Job]) -> dict[int, str]:
    """Return the sha256 of the clips of a frame that were made, by number."""
    found = ((n, jobs.get(order.key)) for n, order in enumerate(orders, 1))
    return {n: job.sha256 for n, job in found if job and job.sha256}


def list_clips_to_come(orders: Sequence[JobOrder], jobs: Mapping[str, Job]) -> list[int]:
    """Return the clips of a frame that may still come, by number."""
    found = ((n, jobs.get(order.key)) for n, order in enumerate(orders, 1))
    return [n for n, job in found if job is None or not (job.sha256 or job.state in OVER)]


def plan_variants(
    batch: Batch, shot: Shot, clip: Action, known: Known, plan_request: Callable[[JobOrder], Action]
) -> list[Action]:
    """Return the actions for all clips of a frame, of which `clip` is the first."""
    if shot.clips == 1:
        return [clip]
    if clip.job_key is None:
        orders = order_variants(batch, shot, clip_order(batch, shot, None, None))
        return [replace(clip, slot=clip_slot(None, n), wish=order.key) for n, order in enumerate(orders, 1)]
    take = read_clip_slot(clip.slot).take
    if take is None:
        first = text_clip_order(batch, shot, known.earlier.get((shot.id, clip.slot)))
    else:
        first = clip_order(batch, shot, take, list_made_takes(batch, shot, known).get(take))
    orders = order_variants(batch, shot, first)
    pin = find_clip_pin(batch, shot, orders, known.jobs, known.pins.get(shot.id, ()))
    number = shot.select_clip if isinstance(shot.select_clip, int) else None
    chosen = number or (pin.take if pin else None)
    actions = [clip, *map(plan_request, orders[1:])]
    return [replace(action, is_chosen=n == chosen) for n, action in enumerate(actions, 1)]


def find_leader(variants: Sequence[Action]) -> Action:
    """Return the clip of a frame that decides how it goes on.

    The chosen one; before the choice the one with most still to come.
    """
    chosen = next((one for one in variants if one.is_chosen), None)
    order = ("parked", "waiting", "create", "resume", "reuse")
    first = next((one for what in order for one in variants if one.what == what), variants[0])
    return chosen or first


def split_by_frame(shot: Shot, clips: Sequence[Action], steps: int) -> list[list[Action]]:
    """Return the actions by frame: its clips, then their steps."""
    size = shot.clips + steps
    return [list(clips[start : start + size]) for start in range(0, len(clips), size)]


def list_whole_clips(shot: Shot, actions: Sequence[Action]) -> list[Action]:
    """Return the action of each frame for its clip as it is in the end."""
    frames = split_by_frame(shot, [action for action in actions if action.kind == "video"], count_steps(shot))
    return [clips[-1] if count_steps(shot) else find_leader(clips) for clips in frames]


def is_choice_open(shot: Shot, actions: Sequence[Action]) -> bool:
    """Return whether all clips of a frame are there and none of them is chosen yet."""
    if shot.clips == 1:
        return False
    frames = split_by_frame(shot, [action for action in actions if action.kind == "video"], count_steps(shot))
    begun = ([clip for clip in clips if not step_of(clip)] for clips in frames)
    return any(all(clip.what == "reuse" and not clip.is_chosen for clip in clips) for clips in begun)


def park_steps(item: ShotPlan) -> ShotPlan:
    """Park the steps after a clip or step that is parked."""
    shot = item.shot
    if not count_steps(shot):
        return item
    others = [action for action in item.actions if action.kind != "video"]
    found: list[Action] = []
    clips = [action for action in item.actions if action.kind == "video"]
    for part in split_by_frame(shot, clips, count_steps(shot)):
        above = find_leader(part[: shot.clips])
        found += part[: shot.clips]
        for action in part[shot.clips :]:
            above = _park_after(action, above)
            found.append(above)
    pictures = [action for action in others if action.kind == "image"]
    return replace(item, actions=(*pictures, *found, *others[len(pictures) :]))


def _park_after(action: Action, above: Action) -> Action:
    if above.what != "parked" or (action.what, action.job_key) != ("create", None):
        return action
    usd = action.usd if above.usd else action.usd * 0
    return replace(action, what="parked", why=f"after {above.slot}, which is parked", until=above.until, usd=usd)


def find_step_before(number: int, place: int, item: ShotPlan) -> tuple[Number, ...]:
    """Return what a step waits for: the clips or the step still to be made."""
    step = step_of(item.actions[place])
    if not step:
        return ()
    first = place - (item.shot.clips if step == 1 else 1)
    before = range(first, place)
    chosen = [at for at in before if item.actions[at].is_chosen] or before
    return tuple((number, at) for at in chosen if item.actions[at].what in ("create", "resume"))
