"""The opening: a batch is entered in the ledger and planned.

Finished shots are set aside.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from callsheet.archive import layout
from callsheet.archive.claim import claim_batch
from callsheet.archive.marker import mark_continuing, read_success
from callsheet.archive.sidecar_io import read_named, read_readable
from callsheet.batch.planning import follow, make_plan
from callsheet.batch.prepare import PreparedRun, check_credentials
from callsheet.batch.request import check_archived, pick_decisions, read_recorded_defaults, record_defaults
from callsheet.batch.survey import awaits_decision, is_finished, records_of, survey
from callsheet.batch.witness import check_proved
from callsheet.context.context import RunContext
from callsheet.context.progress import Step
from callsheet.decisions import APPROVAL
from callsheet.errors import ArchiveError, SettingsError
from callsheet.jobs.store import is_lost
from callsheet.ledger import JobState, ShotRow
from callsheet.ledger.records import is_worth_a_look
from callsheet.manifest import Manifest
from callsheet.plan import Kind, Known, Plan, ShotPlan
from callsheet.plan.parents import list_ancestor_keys
from callsheet.plan.sendable import check_sendable
from callsheet.shots import Shot, ShotOutcome
from callsheet.sources import split_sheet
from callsheet.steps.sidecar import lists_all, tells_as_asked

log = logging.getLogger(__name__)


async def open_batch(run: RunContext, asked: PreparedRun) -> Plan:
    """Return the plan of the batch, entered in ledger and archive.

    `remake` gives failed and lost jobs another, paid, try.

    Before anything is sent: ManifestError when something to be sent cannot carry what is asked for; SettingsError when
    the request names a plan file and the plan is another one now, when it costs more than was agreed to, when another
    ledger works on the live batch, or when the archive has what may be what would be paid for; BegunElsewhere when
    another process has begun it with other models since the request was prepared.
    Shots that are complete count as done at once; the others are pending.
    """
    batch, shots, request, resources = run.batch, asked.shots, asked.request, run.resources
    begun = record_defaults(resources.catalogue, shots)
    plan, known = await make_plan(asked, resources.ledger, resources.store, resources.clock)
    check_credentials(plan, free=run.policy.free)
    _check_sendable(run, plan, asked.manifest)
    if _is_claimed(run, plan):
        await run.resources.ledger.enter_run(batch.name)
        if await claim_batch(run.resources.store, batch, run.resources.ledger.identity):
            # Another ledger's run may have ended between the look and the claim.
            check_archived(await read_recorded_defaults(resources.store, batch), asked.begun, begun)
            plan, known = await make_plan(asked, resources.ledger, resources.store, resources.clock)
    followed = await follow(plan, asked, resources.ledger)
    _check_agreed(plan, asked)
    check_proved(plan, known, run.policy.wants, free=run.policy.free)
    await _look_again(run, plan, known)
    record = {**request.to_record(), **followed, **begun}
    await _enter(run, asked, plan, record)
    if request.remake:
        planned = {item.shot.id for item in plan.shots}
        some = [shot for shot in shots if shot.id in planned and run.policy.wants(shot.id)]
        asked_for = await survey(records_of(run), batch, some)
        others = list_ancestor_keys(batch, some, asked_for)
        for key, job in asked_for.jobs.items():
            if key in others:
                continue
            given_up = job.state in (JobState.FAILED, JobState.EXPIRED) and not is_worth_a_look(job)
            if given_up or await is_lost(run, job):
                await run.resources.ledger.reopen(key)
        plan, known = await make_plan(asked, resources.ledger, resources.store, resources.clock)
        _check_agreed(plan, asked)
        _check_sendable(run, plan, asked.manifest)
        check_proved(plan, known, run.policy.wants, free=run.policy.free)
        await _enter(run, asked, plan, record)
    run.remember(known)
    run.state.set_plan(plan)
    await _write_documents(run, asked.manifest, plan)
    return plan


async def _enter(run: RunContext, asked: PreparedRun, plan: Plan, record: Mapping[str, Any]) -> None:
    """Enter the planned shots in the ledger, by their places in the manifest.

    What is left out is not among them.
    """
    planned = {item.shot.id for item in plan.shots}
    positions = [(shot, place) for place, shot in enumerate(asked.manifest.places) if shot in planned]
    await run.resources.ledger.open_batch(run.batch, positions, record, pick_decisions(asked.begun))


def _is_claimed(run: RunContext, plan: Plan) -> bool:
    """Return whether the run needs the batch for its own ledger.

    There is something to make, and the money is real.
    """
    return run.batch.mode == "live" and not all(item.complete for item in plan.shots)


def _check_agreed(plan: Plan, asked: PreparedRun) -> None:
    """Refuse what has become dearer since a person looked at it."""
    if asked.agreed_usd is not None and plan.usd_high > asked.agreed_usd:
        raise SettingsError(
            f"{plan.batch.name} would now cost up to ${plan.usd_high:.2f}, and ${asked.agreed_usd:.2f} were agreed to: "
            "ledger, archive or prices have changed since. Nothing was sent. Run it again to see what it costs now."
        )


def _check_sendable(run: RunContext, plan: Plan, manifest: Manifest) -> None:
    """Refuse what no request of this run may ask for; a free run sends none."""
    if not run.policy.free:
        check_sendable(plan, manifest.unsendable, run.policy.wants)


async def _look_again(run: RunContext, plan: Plan, known: Known) -> None:
    """Reopen done shots whose sidecar tells something else than the ledger.

    They go through their steps once more, for nothing. Those are shots that the marker calls unfinished (up to 2026-11
    a still beside clips could be told to have failed, and to be done in the ledger alone), and after an edit that was
    undone those that tell of the edit.
    """
    batch, store = run.batch, run.resources.store
    done = {row.shot for row in await run.resources.ledger.shots_of(batch.name) if row.state is ShotOutcome.DONE}
    whole = {item.shot.id: item for item in plan.shots if item.shot.id in done and is_finished(item, known.files)}
    marker = await read_success(store, batch.prefix)
    again = whole.keys() & set(marker.unfinished if marker else ())
    last = [row.batch.manifest_sha256 for row in await run.resources.ledger.batches() if row.batch.name == batch.name]
    if last != [batch.manifest_sha256]:
        names = {layout.sidecar_name(batch.prefix, shot): shot for shot in whole}
        stored, broken = await read_readable(store, list(names))
        again |= {sidecar.shot for sidecar, _ in stored if not lists_all(sidecar, whole[sidecar.shot])}
        again |= {names[name] for name in broken}
    await run.resources.ledger.set_shots(batch.name, sorted(again), ShotOutcome.PENDING)


async def set_aside(run: RunContext, plan: Plan) -> list[Shot]:
    """Count what is complete and return the shots that are to be worked on.

    They are in the manifest's order. A shot that is complete is only set aside when the ledger calls it done: else its
    steps are gone through once more, for nothing, so that its sidecar says how it stands. One that is not asked for,
    and not complete any more, is pending. One that waits for a person, with all its takes there, is left in peace.
    """
    rows = await run.resources.ledger.shots_of(run.batch.name)
    done = {row.shot for row in rows if row.state is ShotOutcome.DONE}
    waiting = await _waiting(run, plan, rows)
    whole: list[ShotPlan] = []
    resting: list[ShotPlan] = []
    going: list[ShotPlan] = []
    left: list[ShotPlan] = []
    for item in plan.shots:
        if item.shot.id in done and is_finished(item, run.state.files):
            chosen = whole
        elif not run.policy.wants(item.shot.id):
            chosen = left
        else:
            chosen = resting if item.shot.id in waiting else going
        chosen.append(item)
        if chosen is not left:
            _announce(run, item)
    set_apart = (*whole, *resting)
    reused = Counter(action.kind for item in set_apart for action in item.actions if action.what == "reuse")
    for kind, count in reused.items():
        run.state.tally.count(kind, "reused", times=count)
        run.state.progress.advance(_STEP_OF[kind], count)
    run.state.progress.advance("shots", len(set_apart))
    # Whoever waits for a parent, in whatever process, sees by its row that it is worked on.
    stale = [item.shot.id for item in (*left, *going) if item.shot.id in done]
    stale += [item.shot.id for item in going if item.shot.is_parent and item.shot.id not in done]
    await run.resources.ledger.set_shots(run.batch.name, stale, ShotOutcome.PENDING)
    return [item.shot for item in going]


_STEP_OF: dict[Kind, Step] = {"image": "images", "video": "clips", "cut": "cuts"}


async def _waiting(run: RunContext, plan: Plan, rows: Sequence[ShotRow]) -> set[str]:
    """Find the shots that lack nothing but a person's decision.

    Their sidecars say what the manifest asks for now.
    """
    ready = {item.shot.id: item.shot for item in plan.shots if awaits_decision(item)}
    waiting = {row.shot for row in rows if (row.state, row.reason_kind) == (ShotOutcome.WAITING, APPROVAL)}
    names = [layout.sidecar_name(run.batch.prefix, shot) for shot in ready if shot in waiting]
    try:
        stored = await read_named(
            run.resources.store, [n for n in names if n[len(run.batch.prefix) + 1 :] in run.state.files]
        )
    except ArchiveError as error:
        log.warning("Shots that wait are looked at anew, because their sidecars cannot be read: %s", error)
        return set()
    return {one.shot for one, _ in stored if tells_as_asked(one, run.batch, ready[one.shot])}


def _announce(run: RunContext, item: ShotPlan) -> None:
    progress = run.state.progress
    progress.want("shots")
    for action in item.actions:
        # Nobody knows how many clips a person will approve; of rejected takes there are none.
        if action.job_key or action.what not in ("waiting", "blocked", "failed"):
            progress.want(_STEP_OF[action.kind])


async def _write_documents(run: RunContext, manifest: Manifest, plan: Plan) -> None:
    store, prefix = run.resources.store, run.batch.prefix
    if any(not item.complete for item in plan.shots):
        await mark_continuing(store, prefix)
    name = layout.manifest_name(prefix, manifest.uri)
    await store.put_bytes(name, manifest.source, layout.manifest_type(name))
    sheet = split_sheet(manifest.uri)[1]
    told = {**plan.as_json(), **record_defaults(run.resources.catalogue, manifest.shots)}
    told |= {"sheet": sheet} if sheet else {}
    text = json.dumps(told, indent=2, ensure_ascii=False)
    await store.put_bytes(layout.document(prefix, layout.PLAN), text.encode(), "application/json")
