"""The archive step.

How the shot ended is decided, its sidecar written, and its state recorded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from callsheet.archive.layout import SIDECAR, folder_name, sidecar_name
from callsheet.archive.lineage import Part, list_doubtful, with_doubts
from callsheet.archive.sidecar import Sidecar
from callsheet.archive.sidecar_io import read_readable, write_sidecar
from callsheet.context.context import RunContext
from callsheet.context.shot_state import ClipState, ShotState, TakeState
from callsheet.decisions import FramePin
from callsheet.errors import ArchiveError
from callsheet.ledger import JobState
from callsheet.plan.frames import is_chosen_by_scores
from callsheet.plan.requests import take_key
from callsheet.shots import Shot, ShotOutcome
from callsheet.steps.sidecar import sidecar_of, with_open_takes

log = logging.getLogger(__name__)

_NOT_SENT = frozenset({JobState.PLANNED, JobState.RESERVED})
_MAYBE_PAID = frozenset({JobState.SUBMITTING, JobState.SUBMITTED, JobState.UNKNOWN})


async def write_shot(run: RunContext, work: ShotState) -> None:
    """Write the sidecar of a shot whose steps have ended.

    Its files are in the archive already.
    """
    state = final_state(work)
    await _recall(run, work)
    sidecar = await _tell(run, work, state)
    known = f"shots/{folder_name(work.shot.id)}/{SIDECAR}" in run.state.files
    stored = await write_sidecar(run.resources.store, run.batch.prefix, sidecar, new=not known)
    run.state.keep_sidecars({work.shot.id: stored})
    work.archived = True
    first = next(iter(work.failures_of_all()), None) if state is not ShotOutcome.DONE else None
    await run.resources.ledger.set_shot(
        run.batch.name,
        work.shot.id,
        state,
        step=first.step if first else "",
        kind=first.kind if first else "",
        reason=first.message if first else "",
    )
    await asyncio.to_thread(_forget_replies, run, work)
    run.state.progress.advance("shots", failed=state is not ShotOutcome.DONE)


def _forget_replies(run: RunContext, work: ShotState) -> None:
    """Remove the kept replies of what is archived.

    Those of what gave nothing stay as evidence.
    """
    parts: list[TakeState | ClipState] = [*work.takes.values(), *work.beginnings, *work.clips]
    for part in parts:
        if part.asset is not None:
            run.resources.spool.replies.remove(part.key)


async def tell_choice(run: RunContext, work: ShotState, wished: FramePin | None = None) -> None:
    """Write the sidecar of a shot before a clip of its takes is paid for.

    The takes are there, and the shot goes on. With `wished`, a choice that the ledger is to have next, before whoever
    waits for it reads it there.
    """
    async with run.state.flight(f"sidecar of {work.shot.id}"):  # its clips are sent side by side
        await _recall(run, work)
        if wished is not None:
            work.pins = (*work.pins, replace(wished, n=len(work.pins) + 1, at=datetime.now(UTC)))
        sidecar = await _tell(run, work, ShotOutcome.PENDING)
        told = _with_intents(sidecar, work.intended, run.resources.ledger.identity)
        await write_sidecar(run.resources.store, run.batch.prefix, told)


def _with_intents(sidecar: Sidecar, keys: Collection[str], ledger: str) -> Sidecar:
    """Return the sidecar that says which of these jobs `ledger` will send now."""

    def intended(part: Part) -> Part:
        if part.job_key not in keys or part.job is None or part.job.state not in _NOT_SENT:
            return part
        state = {"state": JobState.SUBMITTING.value, "ledger": ledger}
        return part.model_copy(update={"job": part.job.model_copy(update=state)})

    parts = ("takes", "clips", "beginnings")
    return sidecar.model_copy(update={name: tuple(map(intended, getattr(sidecar, name))) for name in parts})


async def tell_intent(run: RunContext, work: ShotState, key: str) -> None:
    """Write in the sidecar that a clip is about to be sent, or a picture elsewhere.

    Whoever has another ledger must know that it may have been.
    """
    work.intended.add(key)
    await tell_choice(run, work)


async def tell_sent(run: RunContext, work: ShotState) -> None:
    """Write in the sidecar that a clip is submitted.

    No lost ledger sends it again then; its video is waited for in any case.
    """
    try:
        await tell_choice(run, work)
    except ArchiveError as error:
        log.warning("That a clip of shot %s is submitted is in the ledger alone for now: %s", work.shot.id, error)


async def tell_open_pictures(run: RunContext, shots: Sequence[Shot]) -> None:
    """Record in sidecars the open pictures that this run has not come to.

    They are under way or in doubt. A run before was killed while it sent them. Once this one ends, another ledger may
    go on with the batch, and it must know what may have been paid for. Clips are told before they are sent.
    """
    wanted = {shot.id: run.state.shot_now(shot) for shot in shots}
    found: dict[str, list[TakeState]] = {}
    for job in await run.resources.ledger.open_jobs(run.batch.name):
        work = run.state.work.get(job.shot)
        if job.state not in _MAYBE_PAID or job.shot not in wanted or (work and work.archived):
            continue
        keys = {take_key(run.batch, wanted[job.shot], n): n for n in range(1, wanted[job.shot].takes + 1)}
        if job.key in keys:
            found.setdefault(job.shot, []).append(TakeState(keys[job.key], job.key, job))
    for shot, takes in found.items():
        work = ShotState(wanted[shot], takes={take.number: take for take in takes})
        told = await _tell(run, work, ShotOutcome.PENDING)
        is_there = f"shots/{folder_name(shot)}/{SIDECAR}" in run.state.files
        stored, _ = await read_readable(run.resources.store, [sidecar_name(run.batch.prefix, shot)] if is_there else [])
        now = with_open_takes(stored[0][0], told) if stored else told
        run.state.keep_sidecars({shot: await write_sidecar(run.resources.store, run.batch.prefix, now)})


async def _tell(run: RunContext, work: ShotState, state: ShotOutcome) -> Sidecar:
    """Return the shot's sidecar as it stands, with what is in doubt."""
    sidecar = sidecar_of(run.batch, work, state, datetime.now(UTC), run.state.files)
    keys = list_doubtful(sidecar)
    return with_doubts(sidecar, await run.resources.ledger.doubts_on(keys) if keys else {})


async def _recall(run: RunContext, work: ShotState) -> None:
    """Ask the ledger for what the sidecar tells beside the files."""
    await _recall_jobs(run, work)
    if work.shot.select == "approve":
        work.decisions = (await run.resources.ledger.frame_decisions(run.batch.name, [work.shot.id])).get(
            work.shot.id, ()
        )
    work.pins = await _pins(run, work)


async def _pins(run: RunContext, work: ShotState) -> tuple[FramePin, ...]:
    shot = work.shot
    if not is_chosen_by_scores(shot) and shot.clips == 1 and (shot.takes < 2 or not shot.motion_prompt):
        return ()
    return (await run.resources.ledger.frame_pins(run.batch.name, [work.shot.id])).get(work.shot.id, ())


async def _recall_jobs(run: RunContext, work: ShotState) -> None:
    """Ask the ledger for the jobs of what gave nothing.

    An operation that still runs must be in the sidecar.
    """
    paid: list[TakeState | ClipState] = [*work.takes.values(), *work.beginnings, *work.clips]
    parts = [part for part in paid if part.asset is None]
    jobs = await run.resources.ledger.jobs(part.key for part in parts) if parts else {}
    for part in parts:
        part.job = jobs.get(part.key, part.job)


def final_state(work: ShotState) -> ShotOutcome:
    """Return how the shot ended.

    Done when what it was made for is there, else why it is not.

    A still shot is made for its pictures: one is enough unless all were asked for. A take that failed is noted but
    does not spoil a shot whose clips and cuts are there.
    """
    if (left := work.ended or work.postponed) is not None:
        return left
    if work.shot.motion_prompt is None and work.shot.select == "all" and any(t.failure for t in work.takes.values()):
        return ShotOutcome.FAILED
    return ShotOutcome.DONE
