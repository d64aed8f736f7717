"""Which of several clips of a frame goes on.

They are measured; the choice is made once, and on record before anything is made of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from callsheet.concurrency import gather_all
from callsheet.context.context import RunContext
from callsheet.context.shot_state import ClipState, ShotState
from callsheet.decisions import FramePin
from callsheet.errors import MediaError
from callsheet.jobs.store import fetch
from callsheet.ledger import JobOrder
from callsheet.media.facts import FrameScore
from callsheet.media.frames import choose_clip
from callsheet.media.scores import score_clip
from callsheet.plan.clip_choice import TO_COME, clip_wish_of, find_clip_pin, list_clips_to_come, list_made_clips
from callsheet.shots import Failure, Shot, ShotOutcome

_BY_NUMBER = "asked for by number"


async def find_clips_to_come(
    run: RunContext, orders: Sequence[JobOrder], left: Sequence[ShotOutcome | None]
) -> dict[int, ShotOutcome]:
    """Find the clips that may still come, with the state they leave the shot in."""
    jobs = await run.resources.ledger.jobs(order.key for order in orders)
    return {n: left[n - 1] or ShotOutcome.PENDING for n in list_clips_to_come(orders, jobs)}


async def choose_clip_of(
    run: RunContext,
    work: ShotState,
    clips: Sequence[ClipState],
    orders: Sequence[JobOrder],
    to_come: Mapping[int, ShotOutcome],
) -> ClipState | None:
    """Return the clip of a frame that goes on: the one on record, else the best.

    None, with the reason on the shot, as long as some are to come, or when there is none.
    """
    if isinstance(number := work.shot.select_clip, int):
        return _choose_by_number(work, clips[number - 1], orders[number - 1].slot, is_to_come=number in to_come)
    jobs = await run.resources.ledger.jobs(order.key for order in orders)
    pins = await run.resources.ledger.frame_pins(run.batch.name, [work.shot.id])
    pin = find_clip_pin(run.batch, work.shot, orders, jobs, pins.get(work.shot.id, ()))
    if pin is None and to_come:
        work.failures.append(Failure("clips", TO_COME, _describe_wait(sorted(to_come)), slot=orders[0].slot))
        return None
    made = list_made_clips(orders, jobs)
    if pin is None and (found := await _choose(run, work.shot, clips)) is not None:
        chosen, why = found
        pin = FramePin(run.batch.name, work.shot.id, clip_wish_of(work.shot, orders[0]), chosen, made[chosen], why)
    if pin is None:
        return None
    if not pin.n:
        pin = await run.resources.ledger.pin_frame(pin, made)
    return _mark(clips[pin.take - 1], pin.why)


def _choose_by_number(work: ShotState, clip: ClipState, slot: str, *, is_to_come: bool) -> ClipState | None:
    if clip.job is not None and clip.job.sha256:
        return _mark(clip, _BY_NUMBER)
    if not is_to_come:
        message = (
            f"`select_clip` asks for clip {clip.variant}, which was not made. Choose another clip, or leave "
            "`select_clip` out, and run the manifest again."
        )
        work.failures.append(Failure("clips", "MissingClip", message, slot=slot))
    return None


def _mark(clip: ClipState, why: str) -> ClipState:
    clip.chosen, clip.why = True, why
    return clip


async def _choose(run: RunContext, shot: Shot, clips: Sequence[ClipState]) -> tuple[int, str] | None:
    if shot.select_clip != "first":
        return await _choose_by_scores(run, clips)
    first = next((clip.variant for clip in clips if clip.asset is not None), None)
    return None if first is None else (first, "the first that was made")


async def _choose_by_scores(run: RunContext, clips: Sequence[ClipState]) -> tuple[int, str] | None:
    """Return the number of the best clip, and why.

    None when there is none. One that cannot be measured here is better than nothing, for it was paid for.
    """
    made = [clip for clip in clips if clip.asset is not None]
    found = await gather_all(_measure(run, clip) for clip in made)
    scores = {clip.variant: score for clip, score in zip(made, found, strict=True) if score is not None}
    if not scores:
        return (made[0].variant, "the first; none of them can be measured here") if made else None
    number, why, ranks = choose_clip(scores)
    for clip in made:
        clip.rank = ranks.get(clip.variant)
    return number, why


async def _measure(run: RunContext, clip: ClipState) -> tuple[FrameScore, float] | None:
    """Return a clip's score and its motion; None when it cannot be decoded here."""
    assert clip.asset is not None  # noqa: S101  narrows the type: only clips that are there are measured
    path = await fetch(run, clip.asset.sha256, clip.asset.size)
    try:
        async with run.resources.encoder_slots.take():
            found = await asyncio.to_thread(score_clip, path)
    except MediaError:
        return None
    clip.score = found[0]
    return found


def _describe_wait(numbers: Sequence[int]) -> str:
    """Return why nothing is made of a frame's clips yet, and what to do."""
    listed = ", ".join(map(str, numbers))
    which = f"Clip {listed} of its frame is" if len(numbers) == 1 else f"Clips {listed} of its frame are"
    return (
        f"{which} still to come, and which one goes on is decided once, from all. Nothing is made of one before. Run "
        "the batch again to go on; to do without, name the clip in `select_clip`, such as 1."
    )
