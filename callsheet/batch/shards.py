"""The join: what the shards of a batch have made is taken over.

It is read from ledger and archive, as if this run had made it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

from callsheet.archive import layout
from callsheet.archive.claim import check_claim
from callsheet.archive.sidecar_io import read_readable
from callsheet.batch.account import find_open_requests
from callsheet.batch.survey import is_finished, records_of, survey
from callsheet.context.context import RunContext
from callsheet.context.progress import How, RunCounts
from callsheet.errors import CallsheetError, ManifestError, ParentAwaited, ParentStuck, SettingsError
from callsheet.exit_codes import code_of_shots, first_of
from callsheet.ledger import AttemptRecord, JobState
from callsheet.manifest import Manifest
from callsheet.manifest.left_out import list_problems
from callsheet.plan import Action, Plan, ShotPlan, plan_batch
from callsheet.plan.grouping import Shard
from callsheet.plan.parents import with_parents
from callsheet.shots import Shot, ShotOutcome
from callsheet.steps.parents import read_takes


async def open_shard(run: RunContext, manifest: Manifest, shard: Shard) -> Plan:
    """Return the plan of the shard's shots.

    Nothing is entered: the run that split the batch has done that.

    SettingsError, before anything is sent, when this machine does not work with the manifest, the ledger and the
    archive that the batch was opened with: it would pay for everything once more.
    """
    await _check_same(run, manifest, shard)
    await run.resources.ledger.enter_run(run.batch.name)
    shots = await _list_entered(run, manifest)
    known = await survey(records_of(run), run.batch, shots, part=True)
    plan = await asyncio.to_thread(plan_batch, run.batch, shots, known, run.resources.catalogue)
    run.remember(known)
    run.state.set_plan(plan)
    return plan


async def _list_entered(run: RunContext, manifest: Manifest) -> list[Shot]:
    """Return the shots of the shard that the run that split the batch has entered.

    What is left out was decided there, once. ManifestError when a shot that was entered is wrong on this machine.
    """
    shots = [shot.id for shot in manifest.shots]
    left_out = {each.shot: each for each in manifest.left_out}
    rows = await run.resources.ledger.shots_among(run.batch.name, [*shots, *left_out])
    entered = {row.shot for row in rows}
    if wrong := [each for shot, each in left_out.items() if shot in entered]:
        raise ManifestError(list_problems(wrong))
    return [shot for shot in manifest.shots if shot.id in entered]


async def _check_same(run: RunContext, manifest: Manifest, shard: Shard) -> None:
    batch, settings = run.batch, run.resources.settings
    told = "Nothing was sent. "
    if manifest.sha256 != shard.revision:
        raise SettingsError(
            f"{manifest.uri} is another one now than when batch {batch.name} was split. {told}"
            "The next run of the batch goes by the manifest as it is then."
        )
    rows = {row.batch.name: row.batch for row in await run.resources.ledger.batches()}
    if batch.name not in rows or rows[batch.name].manifest_sha256 != shard.revision:
        where = "SQLite in its own home" if settings.ledger is None else "the one that CALLSHEET_LEDGER names"
        raise SettingsError(
            f"The ledger of this machine ({where}) does not know batch {batch.name} as it was split. {told}"
            "All workers need the same ledger: set CALLSHEET_LEDGER to one PostgreSQL, or CALLSHEET_HOME to one folder "
            "of one machine."
        )
    await check_claim(run.resources.store, batch, run.resources.ledger.identity)
    if await run.resources.store.stat(layout.document(batch.prefix, layout.PLAN)) is None:
        raise SettingsError(
            f"{run.resources.store.uri} has no plan of batch {batch.name}, so it is not the archive that the "
            f"batch was opened in. {told}All workers need the same CALLSHEET_ARCHIVE."
        )


async def end_shard(run: RunContext, plan: Plan) -> dict[str, object]:
    """Let go of what the archive has, and tell how the shard's shots stand.

    `shots` by state, and `exit_code`.
    """
    archived = await run.resources.ledger.archived_among(
        run.batch.name, await asyncio.to_thread(run.resources.spool.hashes)
    )
    await asyncio.to_thread(run.resources.spool.empty, archived)
    shots = Counter(_state(run, item) for item in plan.shots)
    counted = {state.value: count for state, count in shots.items()}
    requests = await find_open_requests(run, (item.shot for item in plan.shots), strangers=False)
    code = first_of((code_of_shots(shots, free=run.policy.free), requests.exit_code))
    return {"exit_code": int(code), "shots": {"total": len(plan.shots), "done": 0, **counted}}


def _state(run: RunContext, item: ShotPlan) -> ShotOutcome:
    """Return how a shot stands.

    One that was not worked on was whole, or waits for a person.
    """
    shot = item.shot.id
    if shot not in run.state.work:
        return ShotOutcome.DONE if is_finished(item, run.state.files) else ShotOutcome.WAITING
    return ShotOutcome(run.state.sidecars[shot][0].state) if shot in run.state.sidecars else ShotOutcome.PENDING


Sent = frozenset[tuple[str, int]]


async def list_attempts(run: RunContext) -> Sent:
    """Return the attempts of the batch so far, by job and number.

    What is sent from now on is not among them.
    """
    return frozenset((one.job_key, one.n) for one in await run.resources.ledger.attempts_of(run.batch.name))


async def follow_ledger(run: RunContext, wanted: int) -> None:
    """Bring the progress up to the ledger, which knows of other processes' shots.

    `wanted` are all of the batch's.
    """
    counts = await run.resources.ledger.counts(run.batch.name)
    ended = wanted - counts[ShotOutcome.PENDING]
    run.state.progress.set_shots(wanted, ended, ended - counts[ShotOutcome.DONE])


async def join_shards(run: RunContext, shots: Sequence[Shot], sent: Sent) -> None:
    """Take over the results of the `shots` that other processes worked on.

    The report is of the whole batch. `sent` is what `list_attempts` told before they began. A shot that nobody has
    brought to an end is pending.
    """
    if run.state.plan is None:
        raise CallsheetError("The batch has no plan yet. Nothing was joined; open it first.")
    batch, everything = run.batch, [item.shot for item in run.state.plan.shots]
    known = await survey(records_of(run), batch, everything)
    run.remember(known)
    now = await asyncio.to_thread(plan_batch, batch, everything, known, run.resources.catalogue)
    whole = {item.shot.id for item in now.shots if is_finished(item, known.files)}
    pending = {row.shot for row in await run.resources.ledger.shots_of(batch.name) if row.state is ShotOutcome.PENDING}
    ended = [shot.id for shot in shots if shot.id in whole or shot.id not in pending]
    names = (layout.sidecar_name(batch.prefix, shot) for shot in ended if shot not in run.state.sidecars)
    there = [name for name in names if name.removeprefix(f"{batch.prefix}/") in run.state.files]
    stored, broken = await read_readable(run.resources.store, there)
    read = {one[0].shot: one for one in stored}
    # What is there instead of a sidecar is kept aside by the next run, which writes the shot's anew.
    unread = {shot for shot in ended if layout.sidecar_name(batch.prefix, shot) in broken}
    # Of a run that was killed between a sidecar and the ledger, the shot is whole and not yet told to be.
    told = {shot for shot, (sidecar, _) in read.items() if sidecar.state == ShotOutcome.DONE.value}
    await run.resources.ledger.set_shots(batch.name, sorted(pending & whole & told), ShotOutcome.DONE)
    await run.resources.ledger.set_shots(batch.name, sorted(unread), ShotOutcome.PENDING)
    run.state.keep_sidecars({shot: stored for shot, stored in read.items() if shot not in pending or shot in told})
    new = [one for one in await run.resources.ledger.attempts_of(batch.name) if (one.job_key, one.n) not in sent]
    run.state.set_tally(tally_between(run.state.plan, now, new))


async def find_freed(run: RunContext, shots: Sequence[Shot]) -> list[Shot]:
    """Return the shots that ended waiting for a parent which is there by now.

    Two shards may have been made one after the other, that of the children first.
    """
    ids = [shot.id for shot in shots if shot.edit_of]
    kinds = {ParentAwaited.__name__, ParentStuck.__name__}
    left = {row.shot for row in await run.resources.ledger.shots_among(run.batch.name, ids) if row.reason_kind in kinds}
    waiting = [shot for shot in shots if shot.id in left]
    filled = with_parents(run.batch, waiting, await read_takes(run.resources.ledger, run.batch, waiting))
    freed = [shot for shot in filled if shot.edit_of and shot.edit_of.picture]
    run.state.renew(freed)
    return freed


def tally_between(before: Plan, now: Plan, attempts: Sequence[AttemptRecord]) -> RunCounts:
    """Return what was made between two plans of a batch, by whatever processes.

    `attempts` are those begun in between.
    """
    tally, planned = RunCounts(), dict(_places(before))
    for place, action in _places(now):
        if action.what == "reuse":
            tally.count(action.kind, _how(planned.get(place)))
    for attempt in attempts:
        if attempt.operation is not None or attempt.outcome == JobState.FINISHED:
            tally.accepted(attempt.kind)
    return tally


def _places(plan: Plan) -> Iterator[tuple[tuple[str, str, int], Action]]:
    """Return the actions by shot and slot.

    Cuts of several clips share a slot and are told apart by their order.
    """
    for item in plan.shots:
        seen: Counter[str] = Counter()
        for action in item.actions:
            yield (item.shot.id, action.slot, seen[action.slot]), action
            seen[action.slot] += 1


def _how(planned: Action | None) -> How:
    """Return how a thing that is there now came to be, from what was planned for it."""
    if planned is None or planned.what not in ("reuse", "resume"):
        return "created"
    return "resumed" if planned.since is not None else "reused"
