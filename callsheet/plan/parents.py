"""The take that something is made of: which it is, or what it waits for.

Plan and run ask these functions with what the ledger tells, so that they say the same. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from callsheet.decisions import FrameDecision, describe_takes, holding
from callsheet.ledger import Job, JobState
from callsheet.ledger.records import EDIT_OF
from callsheet.plan.frames import OVER, child_wish_of, is_chosen_by_scores, is_sent, list_made_takes, pin_of
from callsheet.plan.inputs import Known
from callsheet.plan.requests import take_key, take_keys, take_slot
from callsheet.shots import CHOSEN, Batch, ParentPicture, ParentTake, Shot, ShotOutcome

_MADE = (JobState.FINISHED, JobState.STORED)
# What goes on by itself comes before what waits for a person.
_MOST_OPEN = (ShotOutcome.PENDING, ShotOutcome.PARKED, ShotOutcome.WAITING)


@dataclass(frozen=True, slots=True)
class AwaitedTake:
    """A take of a shot that is not there: how that leaves what is made of it, and why.

    `state` is PENDING when nothing speaks against it, PARKED when it comes by itself later, WAITING when a person has
    to do something first. `why` is a clause and, where there is something to do, a sentence on that.
    """

    shot: str
    state: ShotOutcome
    why: str


def picture_parents_of(shot: Shot) -> tuple[ParentTake, ...]:
    """Return the takes of other shots that the shot's pictures are made of."""
    return (shot.edit_of,) if shot.edit_of else ()


def video_parents_of(shot: Shot) -> tuple[ParentTake, ...]:
    """Return the takes of other shots that the shot's video keeps to."""
    return tuple(one.source for one in shot.video_references if isinstance(one.source, ParentTake))


def parents_of(shot: Shot) -> tuple[ParentTake, ...]:
    """Return the takes of other shots that the shot is made of."""
    return picture_parents_of(shot) + video_parents_of(shot)


def depth_of(shot: Shot) -> int:
    """Return how many shots are made one after the other before this one."""
    return max((1 + depth_of(parent.shot) for parent in parents_of(shot)), default=0)


def by_depth(shots: Iterable[Shot]) -> list[list[Shot]]:
    """Return the shots by depth: first those that are made of no other."""
    levels: dict[int, list[Shot]] = {}
    for shot in shots:
        levels.setdefault(depth_of(shot), []).append(shot)
    return [levels[depth] for depth in sorted(levels)]


def with_ancestors(shots: Iterable[Shot]) -> list[Shot]:
    """Return the shots, and those of the batch that they are made of, each once."""
    found: dict[str, Shot] = {}

    def add(shot: Shot) -> None:
        if shot.id not in found:
            found[shot.id] = shot
            for parent in parents_of(shot):
                add(parent.shot)

    for shot in shots:
        add(shot)
    return list(found.values())


def with_parents(batch: Batch, shots: Sequence[Shot], known: Known) -> tuple[Shot, ...]:
    """Return the shots with the pictures that they are made of, as far as known."""
    filled: dict[str, Shot] = {}
    takes: dict[tuple[str, int | None], ParentPicture | AwaitedTake] = {}

    def find(parent: ParentTake, child: Shot | None = None) -> ParentTake:
        above = replace(parent, shot=fill(parent.shot), picture=None)
        place = above.shot.id, above.take
        if place not in takes:
            takes[place] = find_parent(batch, above, known)
        found = takes[place]
        if isinstance(found, AwaitedTake) and child is not None:
            found = _find_by_child(batch, child, above, known) or found
        return replace(above, picture=found if isinstance(found, ParentPicture) else None)

    def fill(shot: Shot) -> Shot:
        if not parents_of(shot):
            return shot
        if shot.id not in filled:
            kept_to = tuple(
                replace(one, source=find(one.source)) if isinstance(one.source, ParentTake) else one
                for one in shot.video_references
            )
            edit_of = find(shot.edit_of, shot) if shot.edit_of else None
            filled[shot.id] = replace(shot, edit_of=edit_of, video_references=kept_to)
        return filled[shot.id]

    return tuple(map(fill, shots))


def list_ancestor_keys(batch: Batch, shots: Sequence[Shot], known: Known) -> set[str]:
    """Return the jobs of what these shots are made of and is not among them."""
    ids = {shot.id for shot in shots}
    others = with_parents(batch, [one for one in with_ancestors(shots) if one.id not in ids], known)
    return {key for shot in others for key in take_keys(batch, shot)}


def find_parent(batch: Batch, parent: ParentTake, known: Known) -> ParentPicture | AwaitedTake:
    """Return the picture of a take, or why it is not there yet.

    What its own shot is made of is filled in before (`with_parents`).
    """
    number = _find_number(batch, parent, known)
    if isinstance(number, AwaitedTake):
        return number
    job = known.jobs.get(take_key(batch, parent.shot, number))
    if job and job.state in _MADE and job.sha256 and job.size and job.mime_type:
        return ParentPicture(number, job.sha256, job.size, job.mime_type, job.state is JobState.STORED)
    return _await_job(parent.shot.id, number, job)


def describe_lineage(parents: Sequence[ParentTake]) -> str:
    """Return what a shot is made of: "It is made of b:1, which is made of a:chosen"."""
    chains = []
    for parent in parents:
        chain: list[str] = []
        above: ParentTake | None = parent
        while above:
            chain.append(str(above))
            above = above.shot.edit_of
        chains.append(", which is made of ".join(chain))
    return f"It is made of {' and '.join(chains)}"


def _find_by_child(batch: Batch, shot: Shot, parent: ParentTake, known: Known) -> ParentPicture | None:
    """Return the take that the child was sent with, where nothing else tells which.

    A ledger and a sidecar may be lost, or a person have approved several: what was paid for with a picture has chosen
    it. Whether it is approved is asked of it all the same.
    """
    above = parent.shot
    is_lost = is_chosen_by_scores(above) and not known.pins.get(above.id)
    if parent.take is not None or not (is_lost or above.select == "approve"):
        return None
    takes = {sha256: take for take, sha256 in list_made_takes(batch, above, known).items()}
    for number in range(1, shot.takes + 1):
        job = known.earlier.get((shot.id, take_slot(number)))
        take = find_chosen_by(job, above.id, takes) if job else None
        if take is not None:
            found = find_parent(batch, replace(parent, take=take), known)
            return found if isinstance(found, ParentPicture) else None
    return None


def find_unstored(parents: Iterable[ParentTake]) -> AwaitedTake | None:
    """Return which parent lies on the disk of whoever made it."""
    for parent in parents:
        if parent.picture is not None and not parent.picture.is_stored:
            why = f"take {parent.picture.take} of {parent.shot.id} is not in the archive yet."
            return AwaitedTake(parent.shot.id, ShotOutcome.PENDING, why)
    return None


def find_chosen_by(job: Job, parent: str, takes: Mapping[str, int]) -> int | None:
    """Return which of the takes (by sha256) a request was sent with as the chosen.

    None for a request that was not sent, or that names the take by its number.
    """
    is_of_chosen = str(job.request.get(EDIT_OF, "")).startswith(f"{parent}:{CHOSEN}:")
    inputs = job.request.get("inputs") or [""]
    return takes.get(str(inputs[0])) if is_of_chosen and is_sent(job) else None


def find_awaited(
    batch: Batch, shot: Shot, known: Known, parents: tuple[ParentTake, ...] | None = None
) -> AwaitedTake | None:
    """Return what a shot waits for; None when all that it is made of is there.

    `parents` are those of its pictures, unless others are given.

    When several shots of its chain are missing, it is the first of them, for the others wait for that one too.
    """
    for parent in picture_parents_of(shot) if parents is None else parents:
        if parent.picture is not None:
            continue
        if (above := find_awaited(batch, parent.shot, known)) is not None:
            return above
        found = find_parent(batch, parent, known)
        if isinstance(found, AwaitedTake):
            return found
    return None


def after_end(awaited: AwaitedTake, state: ShotOutcome) -> AwaitedTake:
    """Return what is to be said when the parent has ended so, without the take."""
    if awaited.state is not ShotOutcome.PENDING:
        return awaited
    if state in (ShotOutcome.PENDING, ShotOutcome.PARKED):
        return replace(awaited, state=ShotOutcome.PARKED, why=f"{awaited.why} Run the batch again to go on.")
    left = f"{awaited.shot} is {state.value} without it: correct it, or name another take, and run the batch again."
    return replace(awaited, state=ShotOutcome.WAITING, why=f"{awaited.why} {left}")


def _find_number(batch: Batch, parent: ParentTake, known: Known) -> int | AwaitedTake:
    """Return which take of the shot is meant, as soon as that is certain."""
    shot, takes = parent.shot, list_made_takes(batch, parent.shot, known)
    if shot.select == "approve":
        return _find_approved(batch, parent, takes, known)
    if parent.take is not None:
        return parent.take
    if isinstance(shot.select, tuple):
        return shot.select[0]
    if not is_chosen_by_scores(shot):
        return 1
    wish = child_wish_of(shot)
    pins = (pin for pin in reversed(known.pins.get(shot.id, ())) if pin.holds_for(wish, takes))
    if (pin := next(pins, None) or pin_of(batch, shot, known)) is not None:
        return pin.take
    return _await_others(batch, shot, known) or AwaitedTake(
        shot.id, ShotOutcome.PENDING, f"which take of {shot.id} is meant is not chosen yet."
    )


def _find_approved(batch: Batch, parent: ParentTake, takes: dict[int, str], known: Known) -> int | AwaitedTake:
    """Return the take that a person has approved."""
    shot = parent.shot
    decision = holding(known.decisions.get(shot.id, ()), takes)
    if decision is None:
        return _await_others(batch, shot, known) or AwaitedTake(
            shot.id,
            ShotOutcome.WAITING,
            f"a person chooses among the takes of {shot.id} first, in the gallery or with: "
            f"callsheet approve {batch.name}",
        )
    return _find_among(parent, decision)


def _find_among(parent: ParentTake, decision: FrameDecision) -> int | AwaitedTake:
    shot, approved = parent.shot, sorted(decision.takes)
    if parent.take in approved or (parent.take is None and len(approved) == 1):
        return parent.take or approved[0]
    if len(approved) > 1 and parent.take is None:
        why = f"{describe_takes(approved)} of {shot.id} are approved. Name the one that is meant, such as "
        return AwaitedTake(shot.id, ShotOutcome.WAITING, f"{why}{shot.id}:{approved[0]}.")
    what = "it" if parent.take is None else f"its take {parent.take}"
    why = (
        f"{shot.id} was {decision.describe().rstrip('.')}. Nothing is made of {what} unless that is decided otherwise."
    )
    return AwaitedTake(shot.id, ShotOutcome.WAITING, why)


def _await_others(batch: Batch, shot: Shot, known: Known) -> AwaitedTake | None:
    """Return what the choice among the shot's takes waits for; None: for nothing."""
    jobs = {take: known.jobs.get(take_key(batch, shot, take)) for take in range(1, shot.takes + 1)}
    open_takes = {take: job for take, job in jobs.items() if job is None or job.state not in (*_MADE, *OVER)}
    awaited = [_await_job(shot.id, take, job) for take, job in open_takes.items()]
    if awaited:
        return min(awaited, key=lambda one: _MOST_OPEN.index(one.state))
    if all(job and job.state in OVER for job in jobs.values()):
        return _await_job(shot.id, 1, jobs[1])
    return None


def _await_job(shot: str, take: int, job: Job | None) -> AwaitedTake:
    """Return what is to be said of a take whose job has given nothing so far."""
    what = f"take {take} of {shot}"
    if job is not None and job.state is JobState.UNKNOWN:
        why = f"{what} may have been made: see `callsheet resolve`."
        return AwaitedTake(shot, ShotOutcome.WAITING, why)
    if job is not None and job.state in OVER:
        reason = f": {job.reason.rstrip('.')}" if job.reason else ""
        why = f"{what} is {job.state.value}{reason}. Change {shot}, or name another take, and run the batch again."
        return AwaitedTake(shot, ShotOutcome.WAITING, why)
    if job is not None and job.parked_until is not None:
        return AwaitedTake(shot, ShotOutcome.PARKED, f"{what} is parked until {job.parked_until:%Y-%m-%d %H:%M} UTC.")
    return AwaitedTake(shot, ShotOutcome.PENDING, f"{what} is not made yet.")
