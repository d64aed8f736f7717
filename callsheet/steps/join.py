"""The join: what the shards of a batch have made is read from ledger and archive, as if this run had made it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

from callsheet.archive import layout
from callsheet.archive.sidecar_io import read_readable
from callsheet.errors import CallsheetError
from callsheet.ledger import AttemptRecord, JobState
from callsheet.plan import Action, Plan, plan_batch
from callsheet.providers.scopes import scope_of
from callsheet.shots import Shot, ShotState
from callsheet.steps.survey import is_finished, survey
from callsheet.studio import Studio
from callsheet.tally import How, Tally

Sent = frozenset[tuple[str, int]]


async def sent_of(studio: Studio) -> Sent:
    """The attempts of the batch so far, by job and number: what is sent from now on is not among them."""
    return frozenset((one.job_key, one.n) for one in await studio.ledger.attempts_of(studio.batch.name))


async def follow_ledger(studio: Studio, wanted: int) -> None:
    """Bring the progress up to the ledger, which knows of other processes' shots; `wanted` are all of the batch's."""
    counts = await studio.ledger.counts(studio.batch.name)
    ended = wanted - counts[ShotState.PENDING]
    studio.progress.wanted, studio.progress.ended = Counter(shots=wanted), Counter(shots=ended)
    studio.progress.failed = Counter(shots=ended - counts[ShotState.DONE])
    studio.progress.tell("shots")


async def join_shards(studio: Studio, shots: Sequence[Shot], sent: Sent) -> None:
    """Take over the results of the `shots` that other processes worked on, for the report of the whole batch.

    `sent` is what `sent_of` told before they began. A shot that nobody has brought to an end is pending.
    """
    if studio.plan is None:
        raise CallsheetError("The batch has no plan yet. Nothing was joined; open it first.")
    batch, everything = studio.batch, [item.shot for item in studio.plan.shots]
    known = await survey(studio.ledger, studio.store, batch, everything, scope_of(studio.settings, batch.mode))
    studio.remember(known)
    now = await asyncio.to_thread(plan_batch, batch, everything, known, studio.catalogue)
    whole = {item.shot.id for item in now.shots if is_finished(item, known.files)}
    pending = {row.shot for row in await studio.ledger.shots_of(batch.name) if row.state is ShotState.PENDING}
    ended = [shot.id for shot in shots if shot.id in whole or shot.id not in pending]
    names = (layout.sidecar_name(batch.prefix, shot) for shot in ended if shot not in studio.sidecars)
    there = [name for name in names if name.removeprefix(f"{batch.prefix}/") in studio.files]
    stored, broken = await read_readable(studio.store, there)
    read = {one[0].shot: one for one in stored}
    # What is there instead of a sidecar is kept aside by the next run, which writes the shot's anew.
    unread = {shot for shot in ended if layout.sidecar_name(batch.prefix, shot) in broken}
    # Of a run that was killed between a sidecar and the ledger, the shot is whole and not yet told to be.
    told = {shot for shot, (sidecar, _) in read.items() if sidecar.state == ShotState.DONE.value}
    await studio.ledger.set_shots(batch.name, sorted(pending & whole & told), ShotState.DONE)
    await studio.ledger.set_shots(batch.name, sorted(unread), ShotState.PENDING)
    studio.sidecars.update({shot: stored for shot, stored in read.items() if shot not in pending or shot in told})
    new = [one for one in await studio.ledger.attempts_of(batch.name) if (one.job_key, one.n) not in sent]
    studio.tally = tally_between(studio.plan, now, new)


def tally_between(before: Plan, now: Plan, attempts: Sequence[AttemptRecord]) -> Tally:
    """What was made between two plans of a batch, by whatever processes; `attempts` are those begun in between."""
    tally, planned = Tally(), dict(_places(before))
    for place, action in _places(now):
        if action.what == "reuse":
            tally.count(action.kind, _how(planned.get(place)))
    for attempt in attempts:
        if attempt.operation is not None or attempt.outcome == JobState.FINISHED:
            tally.accepted(attempt.kind)
    return tally


def _places(plan: Plan) -> Iterator[tuple[tuple[str, str, int], Action]]:
    """The actions by shot and slot; cuts of several clips share a slot and are told apart by their order."""
    for item in plan.shots:
        seen: Counter[str] = Counter()
        for action in item.actions:
            yield (item.shot.id, action.slot, seen[action.slot]), action
            seen[action.slot] += 1


def _how(planned: Action | None) -> How:
    """How a thing that is there now came to be, from what was planned for it."""
    if planned is None or planned.what not in ("reuse", "resume"):
        return "created"
    return "resumed" if planned.since is not None else "reused"
