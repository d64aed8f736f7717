"""Import of the rows that sidecars state, for a ledger that does not have them.

The ledger was lost, or never had them. What is on record already stays, but for a job that would be paid for once more
although the archive proves that its file is there, or that its request was sent by somebody else: such a job takes over
what is proved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Column, Connection, bindparam, insert, select

from callsheet.decisions import FrameDecision, FramePin
from callsheet.ledger import frame_decisions
from callsheet.ledger.batches import put_batch
from callsheet.ledger.job_state import JobState
from callsheet.ledger.leases import give_back_slot, is_held
from callsheet.ledger.outcomes import FORGET_FILES, REOPENED
from callsheet.ledger.prepared import change, fetch
from callsheet.ledger.records import BILLED, AttemptRecord, Job, ShotRow, Want
from callsheet.ledger.rows import ZERO, change_attempt, change_job, find_job, post, read_attempt
from callsheet.ledger.select import doubts_on
from callsheet.ledger.tables import assets, attempts, batches, jobs, shots, wants
from callsheet.shots import Asset, Batch

_BATCH = select(batches.c.name).where(batches.c.name == bindparam("of_batch"))
_SHOT = select(shots.c.shot).where(shots.c.batch == bindparam("of_batch"), shots.c.shot == bindparam("of_shot"))
_WANT = select(wants.c.job_key).where(
    wants.c.batch == bindparam("of_batch"), wants.c.shot == bindparam("of_shot"), wants.c.slot == bindparam("of_slot")
)
_ASSET = select(assets.c.sha256).where(
    assets.c.batch == bindparam("of_batch"),
    assets.c.shot == bindparam("of_shot"),
    assets.c.name == bindparam("of_name"),
)
_NEW_SHOT, _NEW_WANT, _NEW_ASSET = insert(shots), insert(wants), insert(assets)
_NEW_JOB, _NEW_ATTEMPT = insert(jobs), insert(attempts)
# Of these the ledger itself has the bytes; a slot that is held in a quota is given back first.
_WITH_RESULT = frozenset({JobState.FINISHED, JobState.STORED, JobState.RESERVED})
# In these the newest attempt has not ended.
_OPEN = frozenset({JobState.SUBMITTING, JobState.SUBMITTED, JobState.UNKNOWN})
_MAY_BE_PAID = frozenset({JobState.SUBMITTING, JobState.SUBMITTED, JobState.UNKNOWN})
# In which of them another ledger's requests left a job that has no result yet.
_STILL_TO_COME = frozenset({JobState.PLANNED, JobState.SUBMITTED, JobState.UNKNOWN})
# In these nothing came, and only a person's decision sends anything again.
_ENDED_BADLY = frozenset({JobState.BLOCKED, JobState.FAILED, JobState.EXPIRED})
_BY_ANOTHER = "resubmit by another ledger, as the sidecar tells it"


@dataclass(frozen=True, slots=True)
class ShotRecords:
    """The rows of one shot as its sidecar states them.

    Each job comes with the one attempt that stands for all of its own. `dropped`: the shot is no longer in the
    manifest. `own` are the keys of jobs that this very ledger was about to send: what became of them it knows itself.
    `listed` are the names of the files in the shot's folder.
    """

    row: ShotRow
    dropped: bool
    jobs: tuple[tuple[Job, AttemptRecord], ...] = ()
    wants: tuple[Want, ...] = ()
    assets: tuple[Asset, ...] = ()
    decisions: tuple[FrameDecision, ...] = ()
    pins: tuple[FramePin, ...] = ()
    own: frozenset[str] = frozenset()
    listed: tuple[str, ...] = ()

    def proves(self, told: Job) -> bool:
        """Return whether the file that a job is told to have given is there."""
        return any((one.job_key, one.sha256) == (told.key, told.sha256) for one in self.assets)

    def lacks(self, found: Job) -> bool:
        """Return whether no file here is the one that a job gave: names carry hashes."""
        return found.sha256 is None or not any(found.sha256[:12] in name for name in self.listed)


@dataclass(frozen=True, slots=True)
class Entered:
    """The numbers of rows of each kind that were new."""

    shots: int = 0
    jobs: int = 0
    assets: int = 0


def enter_batch(connection: Connection, now: datetime, batch: Batch) -> bool:
    """Insert a batch without money; False when the ledger has it already.

    One that is on record is left as it is.
    """
    if fetch(connection, _BATCH, {"of_batch": batch.name}) is not None:
        return False
    put_batch(connection, batch, now, None)
    return True


def enter_shot(connection: Connection, records: ShotRecords) -> Entered:
    """Insert a shot with its jobs, their money and its files.

    Rows that are there already win, unless proved wrong. Returns how many rows were new.
    """
    row = records.row
    place = {"of_batch": row.batch, "of_shot": row.shot}
    new_shot = fetch(connection, _SHOT, place) is None
    if new_shot:
        values = {field.name: getattr(row, field.name) for field in fields(row)}
        change(connection, _NEW_SHOT, {**values, "dropped": records.dropped})
    new_jobs = sum(
        _enter_job(connection, job, attempt, row.batch)
        or (job.key not in records.own and _take_over(connection, job, attempt, records))
        for job, attempt in records.jobs
    )
    for want in records.wants:
        if fetch(connection, _WANT, {**place, "of_slot": want.slot}) is None:
            values = {field.name: getattr(want, field.name) for field in fields(want)}
            change(connection, _NEW_WANT, values)
    new_assets = sum(_enter_asset(connection, asset) for asset in records.assets)
    frame_decisions.merge_decisions(connection, row.batch, row.shot, records.decisions)
    frame_decisions.merge_pins(connection, row.batch, row.shot, records.pins)
    return Entered(int(new_shot), new_jobs, new_assets)


def _enter_job(connection: Connection, job: Job, attempt: AttemptRecord, batch: str) -> bool:
    """Insert a job and its money; False when it is on record already.

    It is paid by the batch that wanted it first, by this one when that batch is not on record.
    """
    if find_job(connection, job.key) is not None:
        return False
    if fetch(connection, _BATCH, {"of_batch": job.batch}) is None:
        job = replace(job, batch=batch)
    rows = _build_attempts(replace(attempt, batch=job.batch), 0, attempt.usd)
    job = replace(job, attempts=rows[-1].n)
    change(connection, _NEW_JOB, {name: getattr(job, name) for name in Job.__slots__})
    _enter_attempts(connection, rows)
    return True


def _build_attempts(attempt: AttemptRecord, after: int, paid: Decimal) -> list[AttemptRecord]:
    """Build the attempts that stand for all at a job, of which `paid` USD is the cost.

    They are numbered after those on record. One that is open has its own money alone, which its end settles: what was
    paid before it is an attempt by itself. The last one keeps its number where it can, by which its request is looked
    for. Of the cost that is in doubt which the sidecar tells; one of before that did not tell it paid in doubt alone.
    """
    if not (attempt.reserved_usd and paid):
        one = replace(attempt, n=max(attempt.n, after + 1), usd=paid)
        return [_with_doubt(one, is_lost=attempt.outcome == JobState.UNKNOWN)]
    n = max(attempt.n, after + 2)
    earlier = replace(attempt, n=n - 1, usd=paid, reserved_usd=ZERO, operation=None)
    earlier = replace(earlier, outcome=JobState.UNKNOWN.value, ended_at=attempt.at)
    return [_with_doubt(earlier, is_lost=True), replace(attempt, n=n, usd=ZERO, doubt_usd=None)]


def _enter_attempts(connection: Connection, rows: Sequence[AttemptRecord]) -> None:
    for one in rows:
        change(connection, _NEW_ATTEMPT, {name: getattr(one, name) for name in AttemptRecord.__slots__})
        post(connection, one.batch, held=one.reserved_usd, paid=one.usd)


def _with_doubt(attempt: AttemptRecord, *, is_lost: bool) -> AttemptRecord:
    """Return the attempt with what of its cost is in doubt.

    As told, else all of one that is lost.
    """
    told = attempt.doubt_usd
    doubt = min(told, attempt.usd) if told is not None else attempt.usd if is_lost else ZERO
    return replace(attempt, doubt_usd=doubt or None)


def _take_over(connection: Connection, told: Job, attempt: AttemptRecord, records: ShotRecords) -> bool:
    """Update a job on record with what a sidecar proves; False if nothing is new."""
    found = find_job(connection, told.key)
    if found is not None and found.state is JobState.RESERVED and not is_held(found):
        found = give_back_slot(connection, found, told.updated)
    if found is None or not _is_proved(connection, found, told, records):
        return False
    if found.state is JobState.STORED:
        change(connection, FORGET_FILES, {"job": told.key})
    if told.state in _STILL_TO_COME and _count_usd(told) > _count_usd(found):
        found = _close_own(connection, found, told)
    more = max(told.spent_usd - found.spent_usd, ZERO)
    attempt = _without_known_doubt(connection, replace(attempt, batch=found.batch))
    rows = _build_attempts(attempt, found.attempts, more)
    n = found.attempts if found.state in _OPEN else rows[-1].n
    kept = {"key", "kind", "mode", "model", "batch", "shot", "slot", "request", "created", "updated"}
    values = {name: getattr(told, name) for name in Job.__slots__ if name not in kept}
    change_job(connection, found, told.updated, **{**values, "attempts": n, "spent_usd": found.spent_usd + more})
    if found.state in _OPEN:
        # Of its own request or another's one file came: what was held for it is settled with that.
        last = read_attempt(connection, told.key, n)
        changes = {"outcome": attempt.outcome, "operation": attempt.operation, "ended_at": attempt.ended_at}
        doubt = (last.doubt_usd or ZERO) + min(attempt.doubt_usd or ZERO, more) or None
        change_attempt(connection, last, reserved=attempt.reserved_usd, usd=last.usd + more, doubt_usd=doubt, **changes)
    else:
        _enter_attempts(connection, rows)
    return True


def _without_known_doubt(connection: Connection, attempt: AttemptRecord) -> AttemptRecord:
    """Return the attempt with the doubt that this ledger has not itself."""
    if attempt.doubt_usd is None:
        return attempt
    own = doubts_on(connection, [attempt.job_key]).get(attempt.job_key, ZERO)
    return replace(attempt, doubt_usd=max(attempt.doubt_usd - own, ZERO))


def _close_own(connection: Connection, found: Job, told: Job) -> Job:
    """End this ledger's own request in doubt.

    The other ledger counted it as spent before it sent another.
    """
    if found.state not in _MAY_BE_PAID:
        return found
    last = read_attempt(connection, found.key, found.attempts)
    change_attempt(
        connection,
        last,
        reserved=ZERO,
        usd=last.usd + last.reserved_usd,
        detail=f"{last.detail} [{_BY_ANOTHER}]",
        doubt_usd=last.usd + last.reserved_usd,
    )
    spent = found.spent_usd + last.reserved_usd
    return change_job(connection, found, told.updated, state=JobState.PLANNED, spent_usd=spent)


def _is_proved(connection: Connection, found: Job, told: Job, records: ShotRecords) -> bool:
    """Return whether a sidecar knows more of a job that nobody works on here.

    A file that is there says most, also in place of one that is not there any more. An operation counts when none of
    the ledger's own attempts had it. An end counts when none of them had it, and when it came after the job was opened
    again here, if it was: a person may have decided to try again. What was paid elsewhere counts, but opens nothing
    that has ended here.
    """
    if is_held(found):
        return False
    if told.state is JobState.STORED:
        lost = found.state is JobState.STORED and records.lacks(found)
        return (lost or found.state not in _WITH_RESULT) and records.proves(told)
    if found.state in _WITH_RESULT:
        return False
    if _is_billed_since(found, told):
        return False
    if told.state is JobState.SUBMITTED:
        return told.operation not in _read_attempts(connection, attempts.c.operation, told)
    if (_count_usd(told), told.spent_usd) > (_count_usd(found), found.spent_usd):
        return told.state is not JobState.PLANNED or found.state not in _ENDED_BADLY
    if found.state is JobState.PLANNED and told.state in _ENDED_BADLY:
        if found.reason_kind == REOPENED and told.updated <= found.updated:
            return False
        return told.state.value not in _read_attempts(connection, attempts.c.outcome, told)
    return found.attempts == 0 and told.state is not JobState.PLANNED


def _is_billed_since(found: Job, told: Job) -> bool:
    """Return whether a person read the bill after the sidecar was written.

    What the sidecar says of the money is settled then.
    """
    billed = (found.details or {}).get(BILLED)
    return isinstance(billed, str) and told.updated <= datetime.fromisoformat(billed)


def _read_attempts(connection: Connection, column: Column[str], job: Job) -> set[str]:
    """Return what one column has of all attempts of a job."""
    return set(connection.execute(select(column).where(attempts.c.job_key == job.key)).scalars())


def _count_usd(job: Job) -> Decimal:
    """Return the USD that a job is known to have cost, and may have.

    Who knows of more sent a request that the other never saw. Of two that know of as much, the one that has spent it
    has decided what the other still doubts.
    """
    return job.spent_usd + (job.estimated_usd if job.state in _MAY_BE_PAID else ZERO)


def _enter_asset(connection: Connection, asset: Asset) -> bool:
    if fetch(connection, _ASSET, {"of_batch": asset.batch, "of_shot": asset.shot, "of_name": asset.name}) is not None:
        return False
    change(connection, _NEW_ASSET, {field.name: getattr(asset, field.name) for field in fields(asset)})
    return True
