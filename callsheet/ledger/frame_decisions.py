"""Rows of chosen frames: decided by people, or pinned before their clip is paid.

A decision is recorded once, never against a sent clip. A pin is written once, and read by every later run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, delete, insert, select

from callsheet.decisions import APPROVAL, REJECTED, FrameDecision, FramePin, describe_takes, holding, merge_told
from callsheet.errors import DecisionError
from callsheet.ledger.batches import ShotStatus, set_shot
from callsheet.ledger.job_state import JobState
from callsheet.ledger.leases import is_held
from callsheet.ledger.records import Job
from callsheet.ledger.rows import at_once
from callsheet.ledger.select import edits_of
from callsheet.ledger.tables import frame_decisions, frame_pins, jobs, wants
from callsheet.shots import ShotOutcome

_PAID = frozenset(
    {JobState.SUBMITTING, JobState.SUBMITTED, JobState.FINISHED, JobState.STORED, JobState.UNKNOWN}
)  # or perhaps paid
_TOLD = 20
_PIN_COLUMNS = tuple(field.name for field in fields(FramePin))


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision as it is on record: new, unchanged, or in place of the one `before`."""

    decision: FrameDecision
    how: Literal["new", "same", "changed"]
    before: FrameDecision | None = None


def decide(connection: Connection, now: datetime, batch: str, wished: Sequence[FrameDecision]) -> tuple[Recorded, ...]:
    """Record decisions about shots of a batch and the states they lead to.

    All of them are recorded, or none. One that says what was decided before changes nothing. DecisionError, with
    nothing recorded, when one would take back an approval whose clip is sent: that is paid for. A further take may be
    approved beside it.
    """
    known = decisions_of(connection, batch, [wish.shot for wish in wished])
    found = [_compare(connection, wish, known.get(wish.shot, ())) for wish in wished]
    if refused := [one for one in found if isinstance(one, str)]:
        raise DecisionError("\n".join(refused[:_TOLD]) + "\nNothing was recorded.")
    recorded = []
    for one in found:
        assert isinstance(one, Recorded)  # noqa: S101  narrows the type: refusals were raised above
        recorded.append(one if one.how == "same" else _record(connection, now, one, known))
    return tuple(recorded)


def decisions_of(connection: Connection, batch: str, shots: Sequence[str]) -> dict[str, tuple[FrameDecision, ...]]:
    """Return the decisions about some shots of a batch, by shot in order of time."""
    found: dict[str, list[FrameDecision]] = defaultdict(list)
    columns = frame_decisions.c
    for some in at_once(shots):
        statement = select(frame_decisions).where(columns.batch == batch, columns.shot.in_(some))
        for row in connection.execute(statement.order_by(columns.shot, columns.n)):
            found[row.shot].append(_read_decision(row))
    return {name: tuple(decisions) for name, decisions in found.items()}


def _read_decision(row: Any) -> FrameDecision:
    takes, shown = _to_numbers(row.takes), _to_numbers(row.shown)
    return FrameDecision(row.batch, row.shot, takes, shown, row.decided_by, row.note, row.n, row.at)


def _enter(connection: Connection, decision: FrameDecision) -> None:
    """Insert a decision as it is, with its number and time."""
    values = {
        "batch": decision.batch, "shot": decision.shot, "n": decision.n, "takes": _to_texts(decision.takes),
        "shown": _to_texts(decision.shown), "decided_by": decision.by, "note": decision.note, "at": decision.at,
    }  # fmt: skip
    connection.execute(insert(frame_decisions).values(values))


def merge_decisions(connection: Connection, batch: str, shot: str, told: Sequence[FrameDecision]) -> None:
    """Enter decisions that were taken elsewhere; all are numbered in order of time."""
    known = list(decisions_of(connection, batch, [shot]).get(shot, ()))
    if (merged := merge_told(known, told)) != known:
        columns = frame_decisions.c
        connection.execute(delete(frame_decisions).where(columns.batch == batch, columns.shot == shot))
        for decision in merged:
            _enter(connection, decision)


def _compare(connection: Connection, wish: FrameDecision, known: Sequence[FrameDecision]) -> Recorded | str:
    """Compare the wish with what is on record.

    Returns what recording it would be; or, as a sentence, why it may not be recorded.
    """
    before = holding(known, wish.shown)
    if before is None:
        return Recorded(wish, "new")
    if before.says_as(wish):
        return Recorded(before, "same", before)
    sent = _find_sent_takes(
        connection, wish, {take: sha256 for take, sha256 in before.takes.items() if take not in wish.takes}
    )
    if not sent:
        return Recorded(wish, "changed", before)
    made = "its clip, or an edit of it, is" if len(sent) == 1 else "their clips, or edits of them, are"
    return (
        f"{wish.shot}: {describe_takes(sent)} was approved by {before.by}, and {made} sent or being sent: "
        "that is paid for. "
        f"Keep {describe_takes(sent)}, and approve others beside; for something else, change the shot."
    )


def _find_sent_takes(connection: Connection, wish: FrameDecision, dropped: Mapping[int, str]) -> list[int]:
    """Return those of the dropped takes whose clip must not be taken back.

    A clip or an edit of it is paid for, perhaps paid for, or a run works on it.
    """
    statement = (
        select(jobs)
        .join(wants, wants.c.job_key == jobs.c.key)
        .where(wants.c.batch == wish.batch, wants.c.shot == wish.shot, jobs.c.kind == "video")
    )
    clips = [Job(*row) for row in connection.execute(statement)]
    made = [*clips, *edits_of(connection, wish.batch, wish.shot)]
    frames = {_read_first_frame(job) for job in made if job.state in _PAID or is_held(job)}
    return [take for take, sha256 in dropped.items() if sha256 in frames]


def _read_first_frame(job: Job) -> str:
    """Return the sha256 of a clip's first frame, or of what is edited; "" for none."""
    inputs = job.request.get("inputs") or []
    return str(inputs[0]) if inputs else ""


def _record(
    connection: Connection, now: datetime, one: Recorded, known: Mapping[str, Sequence[FrameDecision]]
) -> Recorded:
    wish = one.decision
    decision = replace(wish, n=len(known.get(wish.shot, ())) + 1, at=now)
    _enter(connection, decision)
    state, kind = (ShotOutcome.BLOCKED, REJECTED) if decision.rejects else (ShotOutcome.PENDING, APPROVAL)
    go_on = "" if decision.rejects else " Run the batch to go on."
    status = ShotStatus(state, "frames", kind, f"{decision.sentence()}{go_on}")
    set_shot(connection, now, wish.batch, wish.shot, status)
    return replace(one, decision=decision)


def _to_texts(takes: Mapping[int, str]) -> dict[str, str]:
    return {str(take): sha256 for take, sha256 in takes.items()}


def _to_numbers(takes: Mapping[str, Any]) -> dict[int, str]:
    return {int(take): str(sha256) for take, sha256 in takes.items()}


def pin(connection: Connection, now: datetime, wished: FramePin, takes: Mapping[int, str]) -> FramePin:
    """Return the pin that counts for these takes, recording the wished one if new.

    `takes` are sha256 by number. A pin that is on record and fits them counts, whoever wrote it.
    """
    known = pins_of(connection, wished.batch, [wished.shot]).get(wished.shot, ())
    before = next((one for one in reversed(known) if one.holds_for(wished.wish, takes)), None)
    if before is not None:
        return before
    new = replace(wished, n=len(known) + 1, at=now)
    _enter_pin(connection, new)
    return new


def pins_of(connection: Connection, batch: str, shots: Sequence[str]) -> dict[str, tuple[FramePin, ...]]:
    """Return the pins of some shots of a batch, by shot in order of time."""
    found: dict[str, list[FramePin]] = defaultdict(list)
    columns = [frame_pins.c[name] for name in _PIN_COLUMNS]
    for some in at_once(shots):
        statement = select(*columns).where(frame_pins.c.batch == batch, frame_pins.c.shot.in_(some))
        for row in connection.execute(statement.order_by(frame_pins.c.shot, frame_pins.c.n)):
            found[row.shot].append(FramePin(*row))
    return {name: tuple(pins) for name, pins in found.items()}


def merge_pins(connection: Connection, batch: str, shot: str, told: Sequence[FramePin]) -> None:
    """Enter choices that were made elsewhere; all are numbered in order of time."""
    known = list(pins_of(connection, batch, [shot]).get(shot, ()))
    if (merged := merge_told(known, told)) != known:
        connection.execute(delete(frame_pins).where(frame_pins.c.batch == batch, frame_pins.c.shot == shot))
        for one in merged:
            _enter_pin(connection, one)


def _enter_pin(connection: Connection, one: FramePin) -> None:
    """Insert a pin as it is, with its number and time."""
    connection.execute(insert(frame_pins).values({name: getattr(one, name) for name in _PIN_COLUMNS}))
