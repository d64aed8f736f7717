"""Asking and deciding, with the ledger and the archive.

What waits, and a person's decisions put on record.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from callsheet.approval.decision_input import (
    Question,
    TakeSelection,
    check,
    decision_on,
    is_waiting,
    name_of,
    question_of,
)
from callsheet.archive import layout
from callsheet.archive.claim import check_claim
from callsheet.archive.marker import mark_continuing
from callsheet.archive.sidecar import FailureRecord, Sidecar
from callsheet.archive.sidecar_io import in_order, read_named, read_readable, read_sidecars, write_sidecar
from callsheet.archive.store import Store
from callsheet.batch.documents import write_page
from callsheet.batch.open import open_records
from callsheet.decisions import APPROVAL, REJECTED, FrameDecision
from callsheet.errors import ArchiveError, DecisionError
from callsheet.ledger import BatchRow, Ledger, Recorded
from callsheet.providers.routing import scope_of
from callsheet.reconcile.rebuild_ledger import Rebuilt, Records, enter_sidecars, read_believed
from callsheet.settings import Settings
from callsheet.shots import ShotOutcome
from callsheet.steps.sidecar import decision_record
from callsheet.suggestions import did_you_mean

log = logging.getLogger(__name__)

_TOLD = 20
_NOTHING = "Nothing was recorded."


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of decisions about a batch, and the shots that still wait for one."""

    row: BatchRow
    recorded: tuple[Recorded, ...]
    waiting: tuple[Question, ...]
    going: tuple[str, ...]

    @property
    def goes_on(self) -> bool:
        """Return whether there is something for a run to do.

        A shot decided about has not gone its way yet.
        """
        return bool(self.going) or any(one.how != "same" for one in self.recorded)

    def as_json(self) -> dict[str, Any]:
        """As `callsheet approve --json` prints it."""
        return {
            "batch": self.row.batch.name,
            "decided": [_describe_recorded(one) for one in self.recorded],
            "waiting": [question.as_json() for question in self.waiting],
        }


def _describe_recorded(one: Recorded) -> dict[str, Any]:
    decision = one.decision
    return {
        "shot": decision.shot,
        "how": one.how,
        "takes": {str(take): sha256 for take, sha256 in decision.takes.items()},
        "rejected": decision.rejects,
        "by": decision.by,
        "note": decision.note,
        "at": decision.at.isoformat() if decision.at else None,
        "before": one.before.describe() if one.before and one.how == "changed" else None,
    }


async def questions(settings: Settings, batch: str) -> Decided:
    """Return what waits for a person in a batch; nothing is changed.

    DecisionError when there is no such batch.
    """
    async with open_records(settings) as (ledger, store):
        row = await ledger.batch_named(batch, _NOTHING, error=DecisionError)
        return Decided(row, (), await _waiting(ledger, store, row), ())


async def decide(settings: Settings, batch: str, wishes: Sequence[TakeSelection], by: str) -> Decided:
    """Record a person's wishes in ledger and sidecars: all of them, each once.

    Or none, with DecisionError.

    A sidecar that cannot be written now, and the gallery, are written by the batch's next run, from the ledger.
    """
    check(wishes)
    name = name_of(by)
    async with open_records(settings) as (ledger, store):
        row = await ledger.batch_named(batch, _NOTHING, error=DecisionError)
        await check_claim(store, row.batch, ledger.identity)
        names = await store.stats(f"{row.batch.prefix}/")
        sidecars = await _sidecars(ledger, store, row, wishes, names)
        # Another ledger may have taken decisions, or sent clips, since this one looked.
        scopes = {row.batch.mode: scope_of(settings, row.batch.mode)}
        believed = await read_believed(
            store, [layout.sidecar_name(row.batch.prefix, one) for one in sidecars], Rebuilt()
        )
        await enter_sidecars(Records(ledger, store, scopes), believed, names, Rebuilt())
        decisions = await _decisions(ledger, sidecars, wishes, name)
        recorded = await ledger.decide_frames(batch, decisions)
        try:
            await _note(ledger, store, row, sidecars)
        except ArchiveError as error:
            log.warning("The decisions are in the ledger; the next run writes them to sidecars and gallery: %s", error)
        decided = {wish.shot for wish in wishes}
        rows = await ledger.shots_of(batch)
        going = tuple(r.shot for r in rows if r.shot in decided and r.state is ShotOutcome.PENDING)
        return Decided(row, recorded, await _waiting(ledger, store, row), going)


def add_decisions(sidecar: Sidecar, decisions: Sequence[FrameDecision], updated: datetime) -> Sidecar:
    """Return the sidecar with the decisions about its shot.

    The shot's state is as the last of them leaves it. One that has them already is returned as it is.
    """
    records = tuple(decision_record(decision) for decision in decisions)
    if records == sidecar.decisions:
        return sidecar
    last = decisions[-1]
    failures = [one for one in sidecar.failures if one.kind not in (APPROVAL, REJECTED)]
    if last.rejects:
        failures.append(FailureRecord(step="frames", kind=REJECTED, message=last.sentence()))
    state = ShotOutcome.BLOCKED if last.rejects else ShotOutcome.PENDING
    values = {"decisions": records, "failures": tuple(failures), "state": state.value, "updated": updated}
    return sidecar.model_copy(update=values)


async def _sidecars(
    ledger: Ledger, store: Store, row: BatchRow, wishes: Sequence[TakeSelection], stored: Collection[str]
) -> dict[str, Sidecar]:
    """Return the sidecars of the shots that are decided about.

    DecisionError for shots that are not there, or not begun.
    """
    known = [shot.shot for shot in await ledger.shots_of(row.batch.name)]
    there = set(known)
    problems = [_unknown(wish.shot, known) for wish in wishes if wish.shot not in there]
    _refuse(problems)
    names = {wish.shot: layout.sidecar_name(row.batch.prefix, wish.shot) for wish in wishes}
    _refuse([f"{shot}: nothing is made of it yet. Run the batch first." for shot in names if names[shot] not in stored])
    return {one.shot: one for one, _ in await read_named(store, list(names.values()))}


def _unknown(shot: str, known: Sequence[str]) -> str:
    guess = did_you_mean(shot, known) or f"it has {', '.join(known[:10])}" + (" ..." if len(known) > 10 else "")
    return f"{shot[:200]!r}: the batch has no such shot; {guess}"


async def _decisions(
    ledger: Ledger, sidecars: Mapping[str, Sidecar], wishes: Sequence[TakeSelection], by: str
) -> list[FrameDecision]:
    jobs = await ledger.jobs(take.job_key for one in sidecars.values() for take in one.takes)
    hashes = {key: job.sha256 for key, job in jobs.items()}
    found = [decision_on(wish, sidecars[wish.shot], hashes, by) for wish in wishes]
    _refuse([one for one in found if isinstance(one, str)])
    return [one for one in found if isinstance(one, FrameDecision)]


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        more = [f"... and {len(problems) - _TOLD} more"] if len(problems) > _TOLD else []
        raise DecisionError("\n".join([*problems[:_TOLD], *more, "Nothing was recorded."]))


async def _note(ledger: Ledger, store: Store, row: BatchRow, sidecars: Mapping[str, Sidecar]) -> None:
    """Bring sidecars and gallery up to date with the ledger.

    What the success marker lists changes, so it says so first.
    """
    decisions, now = await ledger.frame_decisions(row.batch.name, list(sidecars)), datetime.now(UTC)
    written = {shot: add_decisions(sidecar, decisions.get(shot, ()), now) for shot, sidecar in sidecars.items()}
    changed = [sidecar for shot, sidecar in written.items() if sidecar is not sidecars[shot]]
    if changed:
        await mark_continuing(store, row.batch.prefix)
    for sidecar in changed:
        await write_sidecar(store, row.batch.prefix, sidecar)
    if changed:
        await write_page(store, ledger, row.batch, await read_sidecars(store, row.batch.prefix))


async def _waiting(ledger: Ledger, store: Store, row: BatchRow) -> tuple[Question, ...]:
    rows = [one for one in await ledger.shots_of(row.batch.name) if one.reason_kind == APPROVAL]
    shots = [one.shot for one in rows if one.state is ShotOutcome.WAITING]
    names = [layout.sidecar_name(row.batch.prefix, shot) for shot in shots]
    stored, _ = await read_readable(store, names)
    sidecars = in_order([one for one, _ in stored])
    return tuple(question_of(one) for one in sidecars if is_waiting(one))
