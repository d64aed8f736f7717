"""The report step: gallery, catalogue part and, last of all, `_SUCCESS.json`.

Then the summary of the run.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from callsheet.archive import layout
from callsheet.archive.catalogue import write_part
from callsheet.archive.claim import claim_batch, release_batch
from callsheet.archive.marker import BatchEnd, write_success
from callsheet.archive.sidecar import Sidecar
from callsheet.archive.sidecar_io import in_order, read_readable, sidecar_files, write_sidecar
from callsheet.archive.spots import read_spots
from callsheet.batch.account import OpenRequests, find_open_requests, goes_on_at, in_real_time
from callsheet.batch.documents import RunSummary, pending
from callsheet.batch.pipeline import run_pipeline
from callsheet.context.context import RunContext
from callsheet.context.shot_state import ShotState
from callsheet.decisions import APPROVAL
from callsheet.errors import CallsheetError, NotApproved, ParentStuck
from callsheet.exit_codes import ExitCode, code_of_shots, first_of
from callsheet.jobs.output_leftovers import forget_stored_replies, remove_leftovers
from callsheet.ledger import ShotRow
from callsheet.ledger.spend_window import Position
from callsheet.plan import Plan
from callsheet.report.page import gallery_html
from callsheet.report.view import BatchSummary, gallery_view
from callsheet.shots import ShotOutcome
from callsheet.steps.archive import tell_open_pictures
from callsheet.steps.cut_inputs import archived_hashes
from callsheet.steps.sidecar import sidecar_of


@dataclass(frozen=True, slots=True)
class Report:
    """How a batch stands after a run.

    The object that `run --json` prints, and the sidecars it was made from. `until` is when (real time) the quota's day
    turns for what is parked, None when no quota parks anything.
    """

    result: RunSummary
    sidecars: tuple[Sidecar, ...]
    until: datetime | None = None

    @property
    def summary(self) -> dict[str, Any]:
        """Return the result as `run --json` prints it."""
        return self.result.as_json()

    @property
    def exit_code(self) -> int:
        """Return what the run ends with."""
        return self.result.exit_code


@dataclass(frozen=True, slots=True)
class Standing:
    """How a batch stands in the ledger when its run ends.

    Its shots, what is open, and its own money. Of that, only the bill can settle `usd_in_doubt`.
    """

    rows: Sequence[ShotRow]
    requests: OpenRequests
    money: Position
    usd_in_doubt: Decimal


async def write_report(run: RunContext, elapsed_s: float) -> Report:
    """Write the batch's documents over its sidecars and return the report.

    Can be repeated; nothing is paid for.
    """
    batch, store, plan, started = run.batch, run.resources.store, run.state.plan, datetime.now(UTC)
    if plan is None:
        raise CallsheetError("The batch has no plan yet. Nothing was written; open it first.")
    await tell_open_pictures(run, [item.shot for item in plan.shots])
    sidecars = await _sidecars(run, plan)
    absent = [item.shot for item in plan.shots if item.shot.id not in run.state.sidecars]
    earlier = await _read_left_out(run, plan)
    shown = in_order(
        [*sidecars, *earlier, *(sidecar_of(batch, ShotState(shot), ShotOutcome.PENDING, started) for shot in absent)]
    )
    spent = await run.resources.ledger.sum_spent(batch.name)
    # A run with nothing left to make estimates nothing; that says little beside what the batch has cost in all.
    told = BatchSummary(batch.campaign, batch.name, batch.mode, started, batch.edition, plan.usd or None, spent)
    spots, files = await read_spots(store, batch.prefix), await sidecar_files(store, batch.prefix)
    page = await asyncio.to_thread(lambda: gallery_html(gallery_view(shown, told, spots, files)).encode())
    gallery = await store.put_bytes(layout.document(batch.prefix, layout.GALLERY), page, "text/html; charset=utf-8")
    now = datetime.now(UTC)
    every = in_order([*sidecars, *earlier])
    part = await write_part(store, batch.name, every, now.date(), cache=run.resources.settings.parts_cache)
    if every:
        end = BatchEnd(
            catalogue=part,
            finished=now,
            hashes={shot: written for shot, (_, written) in run.state.sidecars.items() if written},
            absent=[*(shot.id for shot in absent), *_list_unmade(plan, earlier)],
            ledger=run.resources.ledger.identity,
        )
        unfinished = {one.shot for one in earlier}
        marked = [pending(one) if one.shot in unfinished else one for one in every]
        await write_success(store, batch.prefix, marked, end)
    if batch.mode == "live":
        await _leave(run)
    await remove_leftovers(run)
    await forget_stored_replies(run)
    await asyncio.to_thread(_empty_spool, run)
    doubts = await run.resources.ledger.sum_doubts()
    standing = Standing(
        await run.resources.ledger.shots_of(batch.name),
        await find_open_requests(run, (item.shot for item in plan.shots)),
        Position(spent, await run.resources.ledger.sum_held(batch.name)),
        doubts.get(batch.name, Decimal(0)),
    )
    summary = _summary(run, plan, standing, gallery, elapsed_s)
    until = await _until(run, summary.exit_code)
    parked_until = until.isoformat() if until else None
    return Report(summary.model_copy(update={"parked_until": parked_until}), tuple(shown), until)


async def _read_left_out(run: RunContext, plan: Plan) -> list[Sidecar]:
    """Return the sidecars of shots that are left out now, and were made before.

    What was made of them stays in gallery and catalogue.
    """
    names = (layout.sidecar_name(run.batch.prefix, each.shot) for each in plan.left_out)
    there = [name for name in names if name.removeprefix(f"{run.batch.prefix}/") in run.state.files]
    return [sidecar for sidecar, _ in (await read_readable(run.resources.store, there))[0]]


def _list_unmade(plan: Plan, earlier: Sequence[Sidecar]) -> list[str]:
    """Return the shots that are left out and were not made before."""
    there = {one.shot for one in earlier}
    return [each.shot for each in plan.left_out if each.shot not in there]


async def _leave(run: RunContext) -> None:
    """Take back the ledger's claim on the batch, unless another run works on it."""
    batch, ledger = run.batch, run.resources.ledger
    if await ledger.leave_run(batch.name):
        await release_batch(run.resources.store, batch, ledger.identity)
        if not await ledger.leave_run(batch.name):  # one began meanwhile, and may have seen the claim
            await claim_batch(run.resources.store, batch, ledger.identity)


async def _until(run: RunContext, code: int) -> datetime | None:
    """Return when parked requests may be sent; a free run sends none."""
    if code != ExitCode.PARKED or run.policy.free:
        return None
    return in_real_time(run, await goes_on_at(run))


async def _sidecars(run: RunContext, plan: Plan) -> list[Sidecar]:
    """Return the sidecars of the shots, in the manifest's order.

    Those of this run, and earlier ones from the archive.

    Where ledger and sidecar of a shot tell two things, one is made to follow the other.
    """
    shots = [item.shot.id for item in plan.shots]
    names = [layout.sidecar_name(run.batch.prefix, shot) for shot in shots if shot not in run.state.sidecars]
    earlier = [name for name in names if name.removeprefix(f"{run.batch.prefix}/") in run.state.files]
    stored, broken = await read_readable(run.resources.store, earlier)
    run.state.keep_sidecars({one[0].shot: one for one in stored})
    complete = {item.shot.id for item in plan.shots if item.complete}
    # What is complete costs nothing to go through again; of another shot nothing is told until it is made.
    lost = [item.shot for item in plan.shots if layout.sidecar_name(run.batch.prefix, item.shot.id) in broken]
    await run_pipeline(run, [shot for shot in lost if shot.id in complete])
    for row in await run.resources.ledger.shots_of(run.batch.name):
        if row.shot in run.state.sidecars and row.state != run.state.sidecars[row.shot][0].state:
            await _agree(run, row, complete=row.shot in complete)
    return in_order([run.state.sidecars[shot][0] for shot in shots if shot in run.state.sidecars])


async def _agree(run: RunContext, row: ShotRow, *, complete: bool) -> None:
    """Have ledger and sidecar say the same of a shot.

    `complete`: the archive had all that it wants.

    The sidecar counts where this run wrote it, where the ledger alone calls the shot done, and where nothing is left to
    do; else the shot is what the ledger says, which was written later.
    """
    sidecar, work = run.state.sidecars[row.shot][0], run.state.work.get(row.shot)
    told = ShotOutcome(sidecar.state)
    if (work and work.archived) or row.state is ShotOutcome.DONE or (complete and told is ShotOutcome.DONE):
        first = next(iter(sidecar.failures), None)
        step, kind, reason = (first.step, first.kind, first.message) if first else ("", "", "")
        await run.resources.ledger.set_shot(row.batch, row.shot, told, step=step, kind=kind, reason=reason)
    else:
        now = sidecar.model_copy(update={"state": row.state.value, "updated": datetime.now(UTC)})
        run.state.keep_sidecars({row.shot: await write_sidecar(run.resources.store, run.batch.prefix, now)})


def _summary(run: RunContext, plan: Plan, standing: Standing, gallery: str, elapsed_s: float) -> RunSummary:
    """Return the exit code is that of the shots that this run was asked for.

    The counts are those of the whole batch.
    """
    shots, money = Counter(row.state for row in standing.rows), standing.money
    asked_for = Counter(row.state for row in standing.rows if run.policy.wants(row.shot))
    codes = [code_of_shots(asked_for, free=run.policy.free), standing.requests.exit_code]
    codes += [ExitCode.UNFINISHED] if any(run.policy.wants(each.shot) for each in plan.left_out) else []
    code, left_out = first_of(codes), [each.as_json() for each in plan.left_out]
    ended = (ShotOutcome.DONE, ShotOutcome.BLOCKED, ShotOutcome.FAILED, ShotOutcome.PARKED, ShotOutcome.WAITING)
    return RunSummary.model_validate(
        {
            "batch": run.batch.name,
            "mode": run.batch.mode,
            "exit_code": int(code),
            "shots": {
                "total": len(plan.shots) + len(left_out),
                **{state.value: shots[state] for state in ended},
                "left_out": len(left_out),
            },
            "left_out": left_out,
            "waiting_for": _waiting_for(standing),
            "open_requests": standing.requests.as_json(),
            **run.state.tally.as_json(),
            "usd": {
                "estimated": float(plan.usd),
                "spent": float(money.spent),
                "held": float(money.reserved),
                "in_doubt": float(standing.usd_in_doubt),
            },
            "archive": f"{run.resources.store.uri}/{run.batch.prefix}",
            "gallery": gallery,
            "elapsed_s": round(elapsed_s, 2),
        }
    )


def _waiting_for(standing: Standing) -> dict[str, int]:
    """Return how many shots wait for a person, by what is to be decided."""
    waiting = {row.shot: row.reason_kind for row in standing.rows if row.state is ShotOutcome.WAITING}
    approval = {shot for shot, kind in waiting.items() if kind in (APPROVAL, NotApproved.__name__)}
    parent = {shot for shot, kind in waiting.items() if kind == ParentStuck.__name__}
    return {
        "approval": len(approval),
        "resolve": len((waiting.keys() - approval - parent) | set(standing.requests.in_doubt)),
        "parent": len(parent),
    }


def _empty_spool(run: RunContext) -> None:
    """Remove from the spool what the archive has of this batch.

    It was verified when it was written.
    """
    run.resources.spool.empty(archived_hashes(run))
