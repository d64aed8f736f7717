"""What a person's approval means for a shot under way: it waits, goes on with the takes approved, or ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from callsheet.context.context import Studio
from callsheet.context.shot_state import Work, most_open
from callsheet.decisions import APPROVAL, REJECTED, holding, numbered, waits
from callsheet.errors import NotApproved
from callsheet.media.frames import Candidate, choose_frames
from callsheet.plan.frames import TO_COME
from callsheet.shots import Failure, Shot, ShotState


def choose_approved(
    studio: Studio, work: Work, candidates: Sequence[Candidate], to_come: Mapping[int, ShotState]
) -> None:
    """Choose the takes that a person has approved; without a decision about these takes the shot ends here.

    `to_come` are takes that come later: a person is to see all of them at once. What counts are the decisions that
    there were when the run was planned: it pays for nothing that was not planned.
    """
    made = takes_of(work)
    decision = holding(studio.decisions.get(work.shot.id, ()), made)
    if decision is not None and not decision.rejects:
        work.choice = choose_frames(candidates, tuple(decision.takes), f"approved by {decision.by}")
        return
    work.choice = choose_frames(candidates, "approve")
    if decision is not None:
        work.fail(Failure("frames", REJECTED, decision.sentence()), ShotState.BLOCKED)
    elif (state := most_open(to_come.values())) is not None:
        why = f"{numbered(sorted(to_come)).capitalize()} still to come; a person chooses when all are there."
        work.fail(Failure("frames", TO_COME, why), state)
    else:
        work.fail(Failure("frames", APPROVAL, waits(studio.batch.name, made)), ShotState.WAITING)


def takes_of(work: Work) -> dict[int, str]:
    """The takes that are there, by number, with the sha256 of their bytes."""
    return {number: take.asset.sha256 for number, take in work.takes.items() if take.asset}


async def still_approved(studio: Studio, shot: Shot, frame_sha256: str) -> None:
    """Raise NotApproved when the take's approval was taken back since the run began; call it with the clip claimed.

    A decision is refused while a run holds the clip, and this asks after it holds it: so one of them sees the other.
    """
    if shot.select != "approve":
        return
    known = (await studio.ledger.frame_decisions(studio.batch.name, [shot.id])).get(shot.id, ())
    newest = holding(known, takes_of(studio.work[shot.id]))
    if newest is None or frame_sha256 not in newest.takes.values():
        told = newest.told() if newest else "no decision holds"
        raise NotApproved(
            f"Its approval was changed since this run began ({told}). Nothing was sent for it. Run the batch again to "
            "go on as decided."
        )
