"""From shots and what is known to actions: what is done about each slot, and why.

Pure: equal values, equal plans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from callsheet.decisions import APPROVAL, describe_takes, holding
from callsheet.errors import RouteMissing, Unknown
from callsheet.ledger import Job, JobOrder, JobState
from callsheet.ledger.records import is_worth_a_look
from callsheet.models import Catalogue
from callsheet.plan.actions import LEFT_OVER, ZERO, Action, Kind, ShotPlan
from callsheet.plan.changes import advise_prompt, changed, explain_new, find_earlier
from callsheet.plan.clip_choice import (
    find_leader,
    is_choice_open,
    list_whole_clips,
    order_variants,
    plan_variants,
    split_by_frame,
)
from callsheet.plan.cuts import better_aspect, plan_cuts
from callsheet.plan.extensions import await_step, count_steps, follow_steps, read_clip_slot, step_order
from callsheet.plan.frames import decide_frames, is_chosen_by_scores, is_sent, pin_of
from callsheet.plan.inputs import Known
from callsheet.plan.models_used import price_fallbacks
from callsheet.plan.parents import AwaitedTake, find_awaited
from callsheet.plan.plan_edits import find_open_choice, plan_awaited_clips, plan_awaited_take
from callsheet.plan.requests import clip_order, clip_slot, take_estimate, take_keys, take_order, text_clip_order
from callsheet.platforms import Platforms, load_platforms
from callsheet.providers.retry_policy import RetryDecision, decide_retry
from callsheet.shots import Batch, Shot

_AGAIN = "--remake makes it again"


def plan_shot(
    batch: Batch, shot: Shot, known: Known, catalogue: Catalogue, platforms: Platforms | None = None
) -> ShotPlan:
    """Plan one shot.

    `platforms` are those of its cuts, the built-in ones by default.
    """
    awaited = find_awaited(batch, shot, known)
    takes = [
        _plan_take(batch, shot, take, awaited=awaited, known=known, catalogue=catalogue)
        for take in range(1, shot.takes + 1)
    ]
    animate = _plan_approved_clips if shot.select == "approve" else _plan_clips
    clips = animate(batch, shot, takes, known, catalogue) if shot.motion_prompt else []
    begun = plan_awaited_clips(batch, shot, known, _plan_variants(batch, shot, clips, known, catalogue))
    frames = split_by_frame(shot, begun, 0)
    clips = [part for some in frames for part in _plan_steps(batch, shot, some, known=known, catalogue=catalogue)]
    specs = [(platforms or load_platforms()).get(name) for name in shot.cuts] if clips else []
    whole = list_whole_clips(shot, clips)
    cuts = [cut for clip in whole for cut in plan_cuts(shot, clip, specs, known, catalogue)]
    new = any(clip.what == "create" for clip in clips)
    told = (better_aspect(shot, specs, catalogue), *advise_prompt(shot, catalogue)) if new else ()
    choice = find_open_choice(batch, shot, known) or ("clips" if is_choice_open(shot, clips) else "")
    actions = price_fallbacks(shot, (*takes, *clips, *cuts), known, catalogue)
    return ShotPlan(shot, tuple(actions), "; ".join(filter(None, told)), choice)


def clip_keys(batch: Batch, shot: Shot, known: Known) -> list[tuple[int | None, str]]:
    """Return the keys that the shot's clips could have.

    Those of each take that is made, or of text alone; each with the steps that make it longer, as far as these can be
    known.
    """
    keys = take_keys(batch, shot)
    found: list[tuple[int | None, str]] = []
    for take, first in _order_clips(batch, shot, keys, known=known):
        for order in order_variants(batch, shot, first):
            found += [(take, one.key) for one in (order, *follow_steps(batch, shot, order, known))]
    return found


def frames_wanted(shot: Shot) -> int:
    """Return how many takes will be animated."""
    if shot.takes == 0:
        return 1
    if isinstance(shot.select, tuple):
        return len(dict.fromkeys(shot.select))
    return shot.takes if shot.select == "all" else 1


def _order_clips(
    batch: Batch, shot: Shot, keys: Sequence[str | None], *, known: Known
) -> list[tuple[int | None, JobOrder]]:
    """Return the orders of clips whose frame is there; `keys` are those of the takes."""
    if shot.takes == 0:
        return [(None, text_clip_order(batch, shot, known.earlier.get((shot.id, clip_slot(None)))))]
    asked = shot.select if isinstance(shot.select, tuple) else range(1, shot.takes + 1)
    made = ((take, known.jobs.get(keys[take - 1] or "")) for take in dict.fromkeys(asked) if take <= shot.takes)
    return [(take, clip_order(batch, shot, take, job.sha256)) for take, job in made if job and job.sha256]


def _plan_variants(batch: Batch, shot: Shot, clips: list[Action], known: Known, catalogue: Catalogue) -> list[Action]:
    """Return the actions for all clips of each frame; `clips` has the first of each."""
    if shot.clips == 1 or not clips:
        return clips
    price = catalogue.get(shot.video_model or "").video_price(shot.resolution, shot.duration_s)

    def plan_request(order: JobOrder) -> Action:
        return _plan_request(order, price, known)

    return [one for clip in clips for one in plan_variants(batch, shot, clip, known, plan_request)]


def _plan_steps(
    batch: Batch, shot: Shot, variants: list[Action], *, known: Known, catalogue: Catalogue
) -> list[Action]:
    """Return the actions for the clips of a frame, and for the steps of one."""
    if not count_steps(shot):
        return variants
    model = catalogue.get(shot.video_model or "")
    above = find_leader(variants)
    is_certain, place, steps = shot.clips == 1 or above.is_chosen, read_clip_slot(above.slot), list[Action]()
    place = place if is_certain else place._replace(variant=1)
    for step in range(1, count_steps(shot) + 1):
        job = known.jobs.get(above.job_key or "") if is_certain else None
        place = place.after(step, shot)
        price = model.video_price(shot.resolution, (shot.duration_s or 0) if place.is_edit else shot.extend_s)
        order = step_order(batch, shot, place, job.sha256 or "" if job else "")
        is_there = job is not None and job.sha256 is not None
        before = above.slot if is_certain or step > 1 else "the chosen clip"
        above = _plan_request(order, price, known) if is_there else await_step(order, above, price, before)
        steps.append(above)
    return [*variants, *steps]


def _plan_take(
    batch: Batch, shot: Shot, take: int, *, awaited: AwaitedTake | None, known: Known, catalogue: Catalogue
) -> Action:
    order = take_order(batch, shot, take)
    model = catalogue.get(shot.image_model)
    action = _plan_request(order, take_estimate(model, shot), known)
    if awaited is not None:
        action = plan_awaited_take(action, shot, awaited, is_known=(shot.id, order.slot) in known.earlier)
    return replace(action, list_usd=model.image_price(shot.image_size))


def _plan_clips(batch: Batch, shot: Shot, takes: Sequence[Action], known: Known, catalogue: Catalogue) -> list[Action]:
    price = catalogue.get(shot.video_model or "").video_price(shot.resolution, shot.duration_s)
    orders, wanted = _order_clips(batch, shot, [take.job_key for take in takes], known=known), frames_wanted(shot)
    pin = pin_of(batch, shot, known)
    sent = {take: order for take, order in orders if take and is_sent(known.jobs.get(order.key))}
    decided = decide_frames(shot, _find_unfinished(takes), pin, sent)
    if pin is not None:
        return [_plan_request(clip_order(batch, shot, pin.take, pin.sha256), price, known)]
    if decided.awaited:
        begun = [_plan_request(sent[take], price, known) for take in decided.takes]
        waiting = awaiting_clip(_plan_unknown_clip(batch, shot, (), price=price, known=known), takes, decided.awaited)
        return begun + [waiting] * (wanted - len(begun))
    if is_chosen_by_scores(shot):
        orders = []
    elif len(orders) != wanted or any(take.what in LEFT_OVER for take in takes):
        orders = [(take, order) for take, order in orders if order.key in known.jobs]
    orders.sort(key=lambda pair: known.earlier.get((shot.id, pair[1].slot)) is None)
    started = [_plan_request(order, price, known) for _, order in orders[:wanted]]
    missing = wanted - len(started)
    return started + [_plan_unknown_clip(batch, shot, takes, price=price, known=known) for _ in range(missing)]


def _find_unfinished(takes: Sequence[Action]) -> list[int]:
    """Return the takes that a run would not bring to an end, by number."""
    return [number for number, take in enumerate(takes, 1) if take.what in ("parked", "waiting")]


def awaiting_clip(clip: Action, takes: Sequence[Action], awaited: Sequence[int]) -> Action:
    """Return the clip of a frame that is chosen when the awaited takes are there."""
    first = max((takes[number - 1] for number in awaited), key=lambda take: take.what == "parked")
    why = f"its frame is chosen when {describe_takes(awaited)} {'is' if len(awaited) == 1 else 'are'} there"
    parked = first.what == "parked"
    usd, extra = (clip.usd, clip.extra_usd) if parked else (ZERO, clip.usd)
    return replace(clip, what=first.what, why=why, usd=usd, extra_usd=extra, until=first.until)


def _plan_approved_clips(
    batch: Batch, shot: Shot, takes: Sequence[Action], known: Known, catalogue: Catalogue
) -> list[Action]:
    """Return the clips of a shot whose frames a person chooses.

    None is made before. Each approved take costs a clip.
    """
    jobs = {number: known.jobs.get(take.job_key or "") for number, take in enumerate(takes, 1)}
    made = {number: job.sha256 for number, job in jobs.items() if job and job.sha256}
    decision = holding(known.decisions.get(shot.id, ()), made)
    if decision is not None and not decision.rejects:
        return _plan_clips(batch, replace(shot, select=tuple(decision.takes)), takes, known, catalogue)
    price = catalogue.get(shot.video_model or "").video_price(shot.resolution, shot.duration_s)
    clip = _plan_unknown_clip(batch, shot, takes, price=price, known=known)
    if clip.what != "create":
        return [clip]
    if decision is not None:
        return [replace(clip, what="blocked", why=decision.describe(), usd=ZERO)]
    return [replace(clip, what="waiting", why=f"waiting: {APPROVAL}", usd=ZERO, extra_usd=price)]


def _plan_unknown_clip(batch: Batch, shot: Shot, takes: Sequence[Action], *, price: Decimal, known: Known) -> Action:
    """Return the clip of a frame that is not chosen yet.

    Or of one that cannot be had as long as its takes stay as they are.
    """
    order = clip_order(batch, shot, None, None)
    clip = Action("video", "clip", "create", "", price, model=order.model, wish=order.key, list_usd=price)
    stuck = [take for take in takes if take.what in LEFT_OVER]
    if isinstance(shot.select, tuple):
        stuck = [take for take in stuck if take.slot in {f"take-{number}" for number in shot.select}]
    if stuck and (isinstance(shot.select, tuple) or len(stuck) == len(takes)):
        return replace(clip, what=stuck[0].what, why=f"its frame is {stuck[0].what}", usd=ZERO)
    old = find_earlier(known, shot.id, "clip")
    differs = changed(old, order, frame_known=False) if old else ""
    return replace(clip, why="; ".join(part for part in (differs, "its frame is not chosen yet") if part))


def _plan_request(order: JobOrder, price: Decimal, known: Known) -> Action:
    kind: Kind = "video" if order.kind == "video" else "image"
    job = known.jobs.get(order.key)
    extra = _estimate_extra(kind, price)
    new = Action(kind, order.slot, "create", "", price, order.key, extra, order.model, list_usd=price)
    if job is None:
        return replace(new, why=explain_new(order, known))
    if job.state in (JobState.UNKNOWN, JobState.SUBMITTING):
        return _plan_in_doubt(new, order, job, known=known)
    if job.state in (JobState.PLANNED, JobState.RESERVED):
        return _plan_unsent(new, job)
    return replace(_plan_sent(new, order, job, known=known), usd=ZERO, extra_usd=ZERO)


def _plan_unsent(new: Action, job: Job) -> Action:
    if job.parked_until is not None:
        until = f"goes on at {job.parked_until:%Y-%m-%d %H:%M} UTC"
        return replace(new, what="parked", why=until, until=job.parked_until)
    if job.reason_kind == RouteMissing.__name__:  # whether there are credentials now is found out anew
        return replace(new, why="not sent yet: there were no credentials")
    return replace(new, why="reserved, not sent yet" if job.state is JobState.RESERVED else job.reason)


def _plan_in_doubt(new: Action, order: JobOrder, job: Job, *, known: Known) -> Action:
    """Return the action for a request that may have been accepted.

    A picture is sent once more, a video waits for evidence or a person.
    """
    if job.state is JobState.SUBMITTING and job.key not in known.abandoned:
        return replace(new, what="resume", why="is being sent", usd=ZERO, extra_usd=new.usd + new.extra_usd)
    # What was spent on a job without a result went to an earlier attempt that was lost.
    if decide_retry(order.kind, Unknown(""), 1 if job.spent_usd else 0) is RetryDecision.AGAIN:
        return replace(new, why="may have been accepted: is sent once more, and both are counted", extra_usd=ZERO)
    why = "may have been accepted: see `callsheet resolve`"
    return replace(new, what="waiting", why=why, usd=ZERO, extra_usd=new.usd)


def _estimate_extra(kind: Kind, price: Decimal) -> Decimal:
    """Return what is paid on top when the answer is lost.

    What is then sent again is counted twice (callsheet/providers/retry_policy.py).
    """
    return price if kind == "image" and decide_retry("image", Unknown(""), 0) is RetryDecision.AGAIN else ZERO


def _plan_sent(new: Action, order: JobOrder, job: Job, *, known: Known) -> Action:
    """Return the action for a job that was sent and ended, or is under way."""
    match job.state:
        case JobState.STORED:
            return _plan_stored(new, order, known)
        case JobState.SUBMITTED:
            since = f" since {job.submitted_at:%Y-%m-%d %H:%M} UTC" if job.submitted_at else ""
            return replace(new, what="resume", why=f"its operation is under way{since}", since=job.submitted_at)
        case JobState.FINISHED:
            return replace(new, what="resume", why="made, not archived yet")
        case JobState.BLOCKED:
            return replace(new, what="blocked", why=_describe_reason(job))
        case JobState.EXPIRED if is_worth_a_look(job):
            return replace(new, what="resume", why="was given up early: is looked for once more, for nothing")
        case _:
            return replace(new, what="failed", why=f"{_describe_reason(job)} ({_AGAIN})")


def _plan_stored(new: Action, order: JobOrder, known: Known) -> Action:
    mine = [a for a in known.assets.get(order.shot, ()) if a.job_key == order.key and a.kind in ("take", "clip")]
    if any(known.has_file(order.shot, asset) for asset in mine):
        return replace(new, what="reuse")
    why = "its file is missing in the archive: is put back for nothing" if mine else "paid for; is copied to this batch"
    return replace(new, what="resume", why=why)


def _describe_reason(job: Job) -> str:
    code = f" [{job.reason_code}]" if job.reason_code else ""
    return f"{job.reason or job.state.value}{code}"
