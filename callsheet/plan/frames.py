"""The takes of a shot that are animated: recorded, awaited, or to be chosen.

Plan and run ask these functions, so that a plan says what its run will do. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from callsheet.decisions import FramePin, describe_takes
from callsheet.ledger import Job, JobState
from callsheet.plan.inputs import Known
from callsheet.plan.requests import clip_order, clip_slot, take_key
from callsheet.shots import Batch, Shot

# Jobs that gave nothing and never will, unless a person wants them again.
OVER = frozenset({JobState.BLOCKED, JobState.FAILED, JobState.EXPIRED})
# What had to be left undecided, for ledger and sidecar.
TO_COME = "TakesToCome"


@dataclass(frozen=True, slots=True)
class Frames:
    """The takes whose clips go on for certain.

    `awaited` are takes that come later, on which all else depends.
    """

    takes: tuple[int, ...] = ()
    awaited: tuple[int, ...] = ()


def decide_frames(shot: Shot, to_come: Collection[int], pin: FramePin | None, sent: Collection[int]) -> Frames:
    """Return what is certain about a shot's frames before anything is chosen.

    Nothing of both: now is the time to choose. `to_come` are takes that neither are there nor gave nothing for good,
    `sent` those whose clip was sent already.
    """
    if pin is not None:
        return Frames((pin.take,))
    awaited = tuple(take for take in needed_takes(shot) if take in to_come)
    return Frames(tuple(take for take in needed_takes(shot) if take in sent), awaited) if awaited else Frames()


def needed_takes(shot: Shot) -> tuple[int, ...]:
    """Return the takes on which it depends what is animated.

    Those asked for by number, else all.
    """
    if isinstance(shot.select, tuple):
        return tuple(dict.fromkeys(take for take in shot.select if take <= shot.takes))
    return tuple(range(1, shot.takes + 1))


def is_chosen_by_scores(shot: Shot) -> bool:
    """Return whether one of several takes is chosen by what they look like.

    To be animated, or for what is made of it. Such a choice could come out in another way.
    """
    return (bool(shot.motion_prompt) or shot.is_parent) and shot.takes > 1 and shot.select in ("best", "first")


def wish_of(batch: Batch, shot: Shot) -> str:
    """Return the sha256 of what a choice of frame answers.

    That is the clip that is asked for, and how its frame is selected.
    """
    asked = json.dumps([shot.select, clip_order(batch, shot, None, None).key])
    return hashlib.sha256(asked.encode()).hexdigest()


def pin_of(batch: Batch, shot: Shot, known: Known) -> FramePin | None:
    """Return the frame on record for the shot as it is asked for now.

    None when it is not chosen yet. A batch of before there were pins (2026-11) shows it by the clips that it sent.
    """
    if not is_chosen_by_scores(shot):
        return None
    takes = list_made_takes(batch, shot, known)
    if pins := known.pins.get(shot.id):
        # What was made of a take before the shot was animated has chosen for it.
        wishes = (wish_of(batch, shot), child_wish_of(shot)) if shot.motion_prompt else (child_wish_of(shot),)
        return next((pin for wish in wishes for pin in reversed(pins) if pin.holds_for(wish, takes)), None)
    return _find_pin_by_clips(batch, shot, takes, known=known) if shot.motion_prompt else None


def child_wish_of(shot: Shot) -> str:
    """Return the sha256 of what a choice of take answers that is not for a clip."""
    return hashlib.sha256(json.dumps(["child", shot.select]).encode()).hexdigest()


def list_made_takes(batch: Batch, shot: Shot, known: Known) -> dict[int, str]:
    """Return the sha256 of the takes that were made of a shot, by number."""
    jobs = {take: known.jobs.get(take_key(batch, shot, take)) for take in range(1, shot.takes + 1)}
    return {take: job.sha256 for take, job in jobs.items() if job and job.sha256}


def _find_pin_by_clips(batch: Batch, shot: Shot, takes: Mapping[int, str], *, known: Known) -> FramePin | None:
    """Return the take whose clip the shot itself has sent.

    A clip that another shot sent was not chosen for this one.
    """
    sent: dict[int, Job] = {}
    for take, sha256 in takes.items():
        job = known.jobs.get(clip_order(batch, shot, take, sha256).key)
        before = known.earlier.get((shot.id, clip_slot(take)))
        if job and is_sent(job) and ((job.batch, job.shot) == (batch.name, shot.id) or before == job):
            sent[take] = job
    if not sent:
        return None
    take = max(sent, key=lambda take: _rank_job(sent[take]))
    return FramePin(batch.name, shot.id, wish_of(batch, shot), take, takes[take], "its clip was sent before")


def is_sent(job: Job | None) -> bool:
    """Return whether a request was begun for the job."""
    return job is not None and job.attempts > 0


def _rank_job(job: Job) -> tuple[bool, datetime]:
    """Return the rank of a clip's job among several of a shot.

    The one counts that gives something; of these the newest.
    """
    return job.state not in OVER, job.created


def awaiting(awaited: Collection[int]) -> str:
    """Return why nothing is animated yet, and what to do, as a sentence."""
    are = "is" if len(awaited) == 1 else "are"
    return (
        f"{describe_takes(sorted(awaited)).capitalize()} {are} still to come, and what is animated is decided once, "
        "from all "
        "takes. Nothing was sent for it. Run the batch again to go on; to do without, name the takes to animate in "
        "`select`, such as 1."
    )
