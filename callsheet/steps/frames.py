"""The frames step.

The takes are measured and the ones to animate are chosen, with the reason kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from callsheet.archive.layout import thumbnail_name
from callsheet.concurrency import gather_all
from callsheet.context.context import RunContext
from callsheet.context.shot_state import ShotState, TakeState, failure_of, is_transient, most_open, state_of
from callsheet.decisions import APPROVAL, REJECTED, FramePin, describe_takes, holding, waits
from callsheet.errors import CallsheetError, MediaError, NotApproved
from callsheet.jobs.store import Deposit, fetch, store_derived_file
from callsheet.ledger import JobOrder
from callsheet.media.containers import HEIC_TYPES
from callsheet.media.facts import FrameScore
from callsheet.media.frames import Choice, FrameCandidate, choose_frames, gate
from callsheet.media.probe import probe_image
from callsheet.media.provenance import Provenance, xmp_packet
from callsheet.media.scores import score_image
from callsheet.media.stills import thumbnail
from callsheet.plan.frames import (
    OVER,
    TO_COME,
    Frames,
    awaiting,
    child_wish_of,
    decide_frames,
    is_chosen_by_scores,
    is_sent,
    pin_of,
    wish_of,
)
from callsheet.plan.parents import find_chosen_by
from callsheet.plan.requests import clip_order
from callsheet.shots import Asset, Failure, Shot, ShotOutcome
from callsheet.steps.archive import tell_choice


def choose_approved(
    run: RunContext, work: ShotState, candidates: Sequence[FrameCandidate], to_come: Mapping[int, ShotOutcome]
) -> None:
    """Choose the takes that a person has approved.

    Without a decision about these takes the shot ends here.

    `to_come` are takes that come later: a person is to see all of them at once. What counts are the decisions that
    there were when the run was planned: it pays for nothing that was not planned.
    """
    made = takes_of(work)
    decision = holding(run.state.decisions.get(work.shot.id, ()), made)
    if decision is not None and not decision.rejects:
        work.choice = choose_frames(candidates, tuple(decision.takes), f"approved by {decision.by}")
        return
    work.choice = choose_frames(candidates, "approve")
    if decision is not None:
        work.fail(Failure("frames", REJECTED, decision.sentence()), ShotOutcome.BLOCKED)
    elif (state := most_open(to_come.values())) is not None:
        why = f"{describe_takes(sorted(to_come)).capitalize()} still to come; a person chooses when all are there."
        work.fail(Failure("frames", TO_COME, why), state)
    else:
        work.fail(Failure("frames", APPROVAL, waits(run.batch.name, made)), ShotOutcome.WAITING)


def takes_of(work: ShotState) -> dict[int, str]:
    """Return the takes that are there, by number, with the sha256 of their bytes."""
    return {number: take.asset.sha256 for number, take in work.takes.items() if take.asset}


async def still_approved(run: RunContext, shot: Shot, frame_sha256: str) -> None:
    """Raise NotApproved when the take's approval was taken back since the run began.

    Call it with the clip claimed.

    A decision is refused while a run holds the clip, and this asks after it holds it: so one of them sees the other.
    """
    if shot.select != "approve":
        return
    known = (await run.resources.ledger.frame_decisions(run.batch.name, [shot.id])).get(shot.id, ())
    newest = holding(known, takes_of(run.state.work[shot.id]))
    if newest is None or frame_sha256 not in newest.takes.values():
        told = newest.describe() if newest else "no decision holds"
        raise NotApproved(
            f"Its approval was changed since this run began ({told}). Nothing was sent for it. Run the batch again to "
            "go on as decided."
        )


JPEG = "image/jpeg"


async def choose_takes(run: RunContext, work: ShotState) -> None:
    """Score the takes, keep a thumbnail of each, and choose.

    A shot whose asked takes are missing ends here.
    """
    made = [take for take in work.takes.values() if take.asset]
    try:
        await gather_all(_measure(run, work.shot, take, take.asset) for take in made if take.asset)
    except CallsheetError as error:
        if is_transient(error):
            raise
        work.fail(failure_of("frames", error), state_of(error))
        return
    candidates = [FrameCandidate(take.number, take.score, take.gate) for take in made]
    if work.shot.select == "approve" and (work.shot.motion_prompt or work.shot.is_parent):
        choose_approved(run, work, candidates, await _to_come(run, work))
    elif work.shot.motion_prompt:
        await _choose_to_animate(run, work, candidates)
    else:
        work.pin = _holding(pin_of(run.batch, work.shot, run.state.known), work)
        chosen = _as_pinned(candidates, work.pin) if work.pin else None
        work.choice = chosen or choose_frames(candidates, work.shot.select)
    if work.shot.is_parent and is_chosen_by_scores(work.shot) and not await _to_come(run, work):
        await _choose_for_children(run, work, candidates)
    if work.choice and work.going and work.shot.motion_prompt:
        await _tell_before_paying(run, work, work.choice)


async def _choose_to_animate(run: RunContext, work: ShotState, candidates: Sequence[FrameCandidate]) -> None:
    """Choose the frames that are paid for: as it is on record, else from all takes.

    Some may have to be waited for.
    """
    shot, to_come = work.shot, await _to_come(run, work)
    work.pin = _holding(pin_of(run.batch, shot, run.state.known), work)
    sent = await _find_sent(run, work) if to_come else ()
    decided = decide_frames(shot, to_come, work.pin, sent)
    if decided.awaited:
        _wait(work, candidates, decided, to_come)
        return
    if work.pin is None:
        work.choice = choose_frames(candidates, shot.select)
    if is_chosen_by_scores(shot):
        work.pin = await _put_on_record(run, work)
    if work.pin is not None:
        work.choice = _as_pinned(candidates, work.pin)
    if work.choice and work.choice.missing:
        missing = ", ".join(str(number) for number in work.choice.missing)
        message = (
            f"`select` asks for take {missing}, which was not made. Choose another take and run the manifest again."
        )
        work.fail(Failure("frames", "MissingTake", message), ShotOutcome.FAILED)
    elif shot.takes and work.choice and not work.choice.chosen:
        message = "None of its takes can be looked at, so none was animated. Choose one by its number in `select`."
        work.fail(Failure("frames", "NoFrame", message), ShotOutcome.FAILED)


def _wait(
    work: ShotState, candidates: Sequence[FrameCandidate], decided: Frames, to_come: Mapping[int, ShotOutcome]
) -> None:
    """Leave the choice open until the awaited takes are there.

    Clips that were sent before go on.
    """
    state = most_open(to_come[take] for take in decided.awaited) or ShotOutcome.PENDING
    failure = Failure("frames", TO_COME, awaiting(decided.awaited))
    # Nothing is chosen: what is there is only measured.
    work.choice = choose_frames(candidates, decided.takes, "its clip was sent before")
    if decided.takes:
        work.failures.append(failure)
        work.postponed = state
    else:
        work.fail(failure, state)


async def _to_come(run: RunContext, work: ShotState) -> dict[int, ShotOutcome]:
    """Find the takes that may still come, with the state they leave the shot in.

    They are not there and have not ended for good.
    """
    absent = [take for take in work.takes.values() if take.asset is None]
    jobs = await run.resources.ledger.jobs([take.key for take in absent]) if absent else {}
    return {
        take.number: take.left or ShotOutcome.PENDING
        for take in absent
        if (job := jobs.get(take.key)) is None or job.state not in OVER
    }


async def _find_sent(run: RunContext, work: ShotState) -> list[int]:
    """Return the takes whose clip was sent before."""
    keys = {take: order.key for take, order in _clips_of(run, work).items()}
    jobs = await run.resources.ledger.jobs(keys.values())
    return [take for take, key in keys.items() if is_sent(jobs.get(key))]


def _clips_of(run: RunContext, work: ShotState) -> dict[int, JobOrder]:
    """Return the orders of the clips that the takes would give."""
    made = {number: take.asset.sha256 for number, take in work.takes.items() if take.asset}
    return {number: clip_order(run.batch, work.shot, number, sha256) for number, sha256 in made.items()}


def _holding(pin: FramePin | None, work: ShotState) -> FramePin | None:
    """Return the pin while its take is there as it was.

    A take whose file is lost has not become another one.
    """
    take = work.takes.get(pin.take) if pin else None
    same = take is not None and (take.asset is None or take.asset.sha256 == pin.sha256) if pin else False
    return pin if same else None


async def _put_on_record(run: RunContext, work: ShotState) -> FramePin | None:
    """Return the choice as the ledger has it from now on.

    None when there is nothing to choose from.
    """
    chosen = work.choice.chosen if work.choice else ()
    pin, takes = work.pin, takes_of(work)
    if pin is None and chosen:
        why = next(one.why for one in work.choice.verdicts if one.chosen) if work.choice else ""
        wish = wish_of(run.batch, work.shot)
        pin = FramePin(run.batch.name, work.shot.id, wish, chosen[0], takes[chosen[0]], why)
    if pin is None or pin.n:
        return pin
    return await run.resources.ledger.pin_frame(pin, {pin.take: pin.sha256, **takes})


async def _choose_for_children(run: RunContext, work: ShotState, candidates: Sequence[FrameCandidate]) -> None:
    """Have the choice on record for what is made of it.

    In the sidecar first, for others wait for the ledger's.
    """
    takes, wish = takes_of(work), child_wish_of(work.shot)
    chosen = work.pin.take if work.pin else await _find_taken(run, work, takes)
    if chosen is None and work.choice:
        chosen = next(iter(work.choice.chosen), None)
    sha256 = work.frame_sha256(chosen) if chosen else None
    if chosen is None or sha256 is None or (work.pin and work.pin.wish == wish):
        return
    why = next((one.why for one in work.choice.verdicts if one.chosen), "") if work.choice else ""
    pin = FramePin(run.batch.name, work.shot.id, wish, chosen, sha256, why)
    await tell_choice(run, work, pin)
    pin = await run.resources.ledger.pin_frame(pin, {chosen: sha256, **takes})
    if not work.shot.motion_prompt:
        work.pin, work.choice = pin, _as_pinned(candidates, pin)


async def _find_taken(run: RunContext, work: ShotState, takes: Mapping[int, str]) -> int | None:
    """Return the take that edits were sent with as the chosen one.

    It is for where no record of the choice is left.
    """
    hashes = {sha256: take for take, sha256 in takes.items()}
    edits = await run.resources.ledger.edits_of(run.batch.name, work.shot.id)
    found = (find_chosen_by(job, work.shot.id, hashes) for job in edits)
    return next((take for take in found if take is not None), None)


def _as_pinned(candidates: Sequence[FrameCandidate], pin: FramePin) -> Choice:
    """Return the choice on record, in its words, whatever would be chosen today."""
    now = choose_frames(candidates, (pin.take,))
    told = tuple(replace(one, why=pin.why) if one.chosen else one for one in now.verdicts)
    return Choice((pin.take,), told)


async def _tell_before_paying(run: RunContext, work: ShotState, choice: Choice) -> None:
    """Record takes and choices in the sidecar before a clip of them is sent."""
    orders = _clips_of(run, work)
    keys = [orders[take].key for take in choice.chosen if take in orders]
    jobs = await run.resources.ledger.jobs(keys)
    if any(not is_sent(jobs.get(key)) for key in keys):
        await tell_choice(run, work)


async def _measure(run: RunContext, shot: Shot, take: TakeState, asset: Asset) -> None:
    """Set the take's score, gate and thumbnail.

    A take that cannot be decoded gets none of them and is never chosen.
    """
    if asset.mime_type in HEIC_TYPES:
        take.gate = "a HEIC, which cannot be measured here"
        return
    xmp = xmp_packet(Provenance(asset.sha256, asset.model or shot.image_model))
    path, small = await fetch(run, asset.sha256, asset.size), run.resources.spool.scratch(".jpg")
    try:
        async with run.resources.encoder_slots.take():
            take.score, take.gate, (width, height) = await asyncio.to_thread(_look, path, small, shot.aspect_ratio, xmp)
    except MediaError as error:
        take.failure = failure_of("frames", error, f"take-{take.number}")
        small.unlink(missing_ok=True)
        return
    new = Deposit("thumbnail", JPEG, width, height, parent=asset.sha256)
    take.thumbnail = await store_derived_file(run, shot, new, small, lambda sha256: thumbnail_name(sha256, JPEG))


def _look(path: Path, small: Path, aspect_ratio: str, xmp: str) -> tuple[FrameScore, str | None, tuple[int, int]]:
    score = score_image(path)
    size = thumbnail(path, small, xmp=xmp)
    return score, gate(score, probe_image(path), aspect_ratio), size
