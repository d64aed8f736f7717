"""Waiting for the take that something is made of, whoever makes it, wherever.

The ledger says when it is there. No slot, lease or money is held meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from callsheet.context.context import RunContext
from callsheet.context.shot_state import ShotState
from callsheet.errors import NotApproved, ParentAwaited, ParentStuck
from callsheet.ledger import Ledger
from callsheet.plan import Known, clip_keys
from callsheet.plan.extensions import count_steps
from callsheet.plan.frames import is_chosen_by_scores
from callsheet.plan.parents import (
    AwaitedTake,
    after_end,
    by_depth,
    describe_lineage,
    find_awaited,
    find_parent,
    find_unstored,
    parents_of,
    picture_parents_of,
    with_ancestors,
    with_parents,
)
from callsheet.plan.requests import take_keys
from callsheet.shots import Batch, ParentTake, Shot, ShotOutcome

# Real seconds between two looks at a ledger that another process writes, at first and at most. What this process makes
# itself is told at once; it is looked at as seldom as that.
LOOK_S, SELDOM_S = 1.0, 20.0
# A parent that another process is to make and of which there is no news for so long is left to the next run.
SILENCE_S = 600.0


async def read_takes(ledger: Ledger, batch: Batch, shots: Sequence[Shot]) -> Known:
    """Return what the ledger knows of shots' takes and of what they are made of.

    Jobs, pins and decisions: what names a picture is known only when the picture is that it is made of.
    """
    known = Known()
    for level in by_depth(with_ancestors(shots)):
        filled = with_parents(batch, level, known)
        keys = [key for shot in filled for key in take_keys(batch, shot)]
        scored = [shot.id for shot in level if is_chosen_by_scores(shot) or shot.clips > 1]
        asked = [shot.id for shot in level if shot.select == "approve"]
        known = replace(
            known,
            jobs={**known.jobs, **await ledger.jobs(keys)},
            pins={**known.pins, **await ledger.frame_pins(batch.name, scored)},
            decisions={**known.decisions, **await ledger.frame_decisions(batch.name, asked)},
        )
    return known


async def read_clips(ledger: Ledger, batch: Batch, shots: Sequence[Shot], known: Known) -> Known:
    """Return what is known, with the jobs of the shots' clips and of their steps.

    `shots` have the takes that they are made of. What names a step is known only when the clip before it is.
    """
    left, asked = [shot for shot in shots if shot.motion_prompt], set[str]()
    while keys := {key for shot in left for _, key in clip_keys(batch, shot, known)} - asked:
        known = replace(known, jobs={**known.jobs, **await ledger.jobs(keys)})
        left, asked = [shot for shot in left if count_steps(shot)], asked | keys
    return known


Parents = Callable[[Shot], tuple[ParentTake, ...]]


async def await_parents(run: RunContext, shot: Shot, parents: Parents = picture_parents_of) -> Shot:
    """Return the shot with the pictures that it is made of, once they are there.

    `parents` are those that are waited for.

    Raises ParentAwaited when one does not come in this run, ParentStuck when a person has to do something first, and
    Stopped when the run is stopped. Both name the shot that is waited for.
    """
    news, pause_s = _News(), LOOK_S
    while any(parent.picture is None or not parent.picture.is_stored for parent in parents(shot)):
        # Looked at before the ledger: what a shot wrote before its end is read then.
        ancestors = {one.id: await _find_standing(run, one.id) for one in with_ancestors([shot]) if one.id != shot.id}
        known = await _read_news(run, shot, ancestors)
        (shot,) = with_parents(run.batch, [shot], known)
        awaited = find_awaited(run.batch, shot, known, parents(shot))
        if (left := awaited or find_unstored(parents(shot))) is None:
            continue
        standing, work = ancestors[left.shot], run.state.work.get(left.shot)
        if standing.is_over and awaited is None:
            return shot  # whoever made it has ended: it is on this disk, or lost
        if standing.is_over or news.are_silent(known, standing, work):
            raise _as_error(parents(shot), after_end(left, standing.state))
        if work is None or work.moves == standing.moves:
            await run.state.await_event(work.moved if work else asyncio.Event(), SELDOM_S if work else pause_s)
        pause_s = min(2 * pause_s, SELDOM_S)
    return shot


async def check_approved(run: RunContext, shot: Shot) -> None:
    """Raise NotApproved when the approval of what the shot is made of was changed.

    Call it with the job claimed: a decision is refused while somebody holds it, and this asks after it is held.
    """
    parent = shot.edit_of
    if parent is None or parent.shot.select != "approve":
        return
    known = await read_takes(run.resources.ledger, run.batch, [parent.shot])
    take = parent.picture.take if parent.picture else parent.take
    found = find_parent(run.batch, replace(parent, take=take, picture=None), known)
    if found != parent.picture:
        why = f" ({found.why.rstrip('.')})" if isinstance(found, AwaitedTake) else ""
        raise NotApproved(
            f"The approval of {parent}, which it is made of, was changed since this run began{why}. Nothing was sent "
            "for it. Run the batch again to go on as decided."
        )


@dataclass(frozen=True, slots=True)
class _Standing:
    """How the work on a shot stands, and how much had become of it here."""

    is_over: bool
    state: ShotOutcome
    moves: int = 0


async def _find_standing(run: RunContext, shot: str) -> _Standing:
    """Return how the work on a shot stands, here or in another process."""
    work = run.state.work.get(shot)
    if work is not None and not work.is_over:
        return _Standing(False, ShotOutcome.PENDING, work.moves)
    rows = await run.resources.ledger.shots_among(run.batch.name, [shot])
    state = rows[0].state if rows else ShotOutcome.PENDING
    is_elsewhere = work is None and state is ShotOutcome.PENDING and bool(rows) and run.policy.wants(shot)
    return _Standing(not is_elsewhere, state)


async def _read_news(run: RunContext, shot: Shot, ancestors: Mapping[str, _Standing]) -> Known:
    """Return what the ledger knows of what a shot is made of.

    Many shots may be made of one: it is read once for all, as long as nothing became of it since.
    """
    parents = [parent.shot for parent in parents_of(shot)]
    name = " ".join(parent.id for parent in parents)
    here = all(one in run.state.work for one in ancestors)
    seen = tuple(ancestors.values()), 0 if here else time.monotonic() // LOOK_S
    async with run.state.flight(f"takes of {name}"):
        if (heard := run.state.heard.get(name)) is not None and heard[0] == seen:
            return heard[1]
        known = await read_takes(run.resources.ledger, run.batch, parents)
        run.state.heard[name] = seen, known
        return known


@dataclass
class _News:
    """What was last heard of a shot made elsewhere, and when (monotonic seconds)."""

    heard: object = None
    since: float = field(default_factory=time.monotonic)

    def are_silent(self, known: Known, standing: _Standing, work: ShotState | None) -> bool:
        """Return whether there was no news for so long that nobody seems to make the shot."""
        heard = [(job.key, job.state, job.updated, job.lease_until) for job in known.jobs.values()], standing.state
        if work is not None or heard != self.heard:
            self.heard, self.since = heard, time.monotonic()
        return time.monotonic() - self.since > SILENCE_S


def _as_error(parents: tuple[ParentTake, ...], awaited: AwaitedTake) -> ParentAwaited:
    kind = ParentStuck if awaited.state is ShotOutcome.WAITING else ParentAwaited
    return kind(f"{describe_lineage(parents)}: {awaited.why}")
