"""From a sidecar to the ledger's rows.

It is pure, and suspicious, for a sidecar is a file that anyone could have changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from callsheet import errors
from callsheet.archive.lineage import Part
from callsheet.archive.sidecar import (
    ClipRecord,
    FailureRecord,
    Sidecar,
    TakeRecord,
)
from callsheet.archive.sidecar_io import list_paid_parts
from callsheet.decisions import FrameDecision, FramePin
from callsheet.ledger import AttemptRecord, Job, JobState, ShotRecords, ShotRow, Want
from callsheet.ledger.records import RATINGS, RECORD, REQUEST_ID, SUBMISSION_ID, TEXT
from callsheet.plan.extensions import ClipSlot
from callsheet.plan.requests import take_slot
from callsheet.providers.routing import Scopes
from callsheet.shots import Asset, ShotOutcome

# What was paid for a job that is to be sent again gave nothing: by the rule, that counts as one time in doubt.
_OUTCOMES = {JobState.STORED: "finished", JobState.SUBMITTED: "open", JobState.PLANNED: JobState.UNKNOWN.value}


@dataclass(frozen=True, slots=True)
class ShotPlace:
    """The place of a shot in its manifest: its position, or dropped from it."""

    position: int
    dropped: bool = False


def shot_records(
    sidecar: Sidecar, assets: Sequence[Asset], place: ShotPlace, *, scope: Scopes, ledger: str = ""
) -> ShotRecords:
    """Return the rows of a checked sidecar and its verified files, for a `ledger`.

    `scope`: whose quota was used.
    """
    first = next(iter(sidecar.failures), None)
    row = ShotRow(
        sidecar.batch, sidecar.shot, place.position, ShotOutcome(sidecar.state), first.step if first else "",
        first.kind[:64] if first else "", first.message if first else "", sidecar.updated,
    )  # fmt: skip
    # Those in use come first: of two parts with the same job the first one is entered.
    jobs = [job for part in list_paid_parts(sidecar) if (job := job_of(sidecar, part, scope))]
    entered = {job.key for job, _ in jobs}
    parts: list[Part] = [*sidecar.takes, *sidecar.beginnings, *sidecar.clips]
    wants = [Want(sidecar.batch, sidecar.shot, _slot(part), part.job_key) for part in parts if part.job_key in entered]
    mine = (part.job_key for part in list_paid_parts(sidecar) if ledger and part.job and part.job.ledger == ledger)
    told = decisions_in(sidecar), pins_in(sidecar)
    return ShotRecords(row, place.dropped, tuple(jobs), tuple(wants), tuple(assets), *told, frozenset(mine))


def decisions_in(sidecar: Sidecar) -> tuple[FrameDecision, ...]:
    """Return what people decided, as the sidecar tells it."""
    return tuple(
        FrameDecision(sidecar.batch, sidecar.shot, one.takes, one.shown, one.by, one.note, one.n, one.at)
        for one in sidecar.decisions
    )


def pins_in(sidecar: Sidecar) -> tuple[FramePin, ...]:
    """Return which frames were chosen, as the sidecar tells it."""
    return tuple(
        FramePin(sidecar.batch, sidecar.shot, one.wish, one.take, one.sha256, one.why, one.n, one.at)
        for one in sidecar.pins
    )


def job_of(sidecar: Sidecar, part: Part, scope: Scopes) -> tuple[Job, AttemptRecord] | None:
    """Return the job behind a take or clip, None when nothing was sent.

    One attempt stands for all of its own.
    """
    state = state_of(part)
    if state is None:
        return None
    was, file, usd = part.job, part.file, Decimal(str(part.usd))
    kind: Literal["image", "video"] = "image" if isinstance(part, TakeRecord) else "video"
    created = was.created if was else file.created if file else sidecar.updated
    submitted = was.submitted_at if was else created
    finished = (was.finished_at if was else None) or (file.created if file else None)
    estimate = Decimal(str(was.estimated_usd)) if was else usd
    held = estimate if state in (JobState.SUBMITTED, JobState.UNKNOWN) else Decimal(0)
    operation = (was.operation if was else None) or (part.operation if isinstance(part, ClipRecord) else None)
    model = was.model if was else _model(sidecar, part)
    why = _why(part, state)
    job = Job(
        key=part.job_key, kind=kind, mode=sidecar.mode, model=model, state=state,
        batch=was.batch if was else sidecar.batch, shot=was.shot if was else sidecar.shot,
        slot=was.slot if was else _slot(part), request=dict(was.request) if was else _request(sidecar, part),
        operation=operation, reason_kind=why.kind[:64], reason=why.message, reason_code=why.reason,
        estimated_usd=estimate, spent_usd=usd, attempts=max(1, part.attempts),
        sha256=file.sha256 if file else None, md5=file.md5 if file else None, size=file.size if file else None,
        mime_type=file.mime_type if file else None, width=file.width if file else None,
        height=file.height if file else None, duration_s=file.duration_s if file else None,
        details=_details(part), owner=None, lease_until=None, parked_until=None, created=created,
        updated=sidecar.updated, submitted_at=submitted if kind == "video" else None, finished_at=finished,
    )  # fmt: skip
    attempt = _attempt(job, scope(model), submitted or finished or created, held)
    doubt = was.usd_in_doubt if was else None
    return job, attempt if doubt is None else replace(attempt, doubt_usd=min(Decimal(str(doubt)), usd))


def _attempt(job: Job, scope: str, at: datetime, held: Decimal) -> AttemptRecord:
    return AttemptRecord(
        job_key=job.key, n=job.attempts, batch=job.batch, scope=scope, model=job.model, kind=job.kind, at=at,
        ended_at=None if job.state is JobState.SUBMITTED else job.finished_at or job.updated,
        outcome=_OUTCOMES.get(job.state, job.state.value), status=None, detail="As the sidecar tells it.",
        estimated_usd=job.estimated_usd, reserved_usd=held, usd=job.spent_usd, operation=job.operation,
    )  # fmt: skip


def state_of(part: Part) -> JobState | None:
    """Return the state in which a part's job is entered.

    None when nothing was sent for it.

    In doubt it is the state that cannot pay twice: an operation is awaited, a lost request waits for a person.
    """
    if part.file is not None:
        return JobState.STORED
    operation = part.operation if isinstance(part, ClipRecord) else None
    if part.job is None:
        return _state_told(part, operation)
    state = JobState(part.job.state)
    if state in (JobState.STORED, JobState.FINISHED):
        return JobState.SUBMITTED if part.job.operation else JobState.FAILED
    if state in (JobState.PLANNED, JobState.RESERVED):
        return JobState.PLANNED if part.usd else None
    return JobState.UNKNOWN if state is JobState.SUBMITTING else state


def _state_told(part: Part, operation: str | None) -> JobState | None:
    """Return the same from a sidecar of before it kept the job.

    By the class of what went wrong.
    """
    kind = getattr(errors, part.failure.kind, None) if part.failure else None
    error = kind if isinstance(kind, type) and issubclass(kind, errors.ProviderError) else None
    if error is not None and issubclass(error, errors.Blocked):
        return JobState.BLOCKED
    if error is errors.OperationExpired:
        return JobState.EXPIRED
    if operation is not None:
        over = error is not None and issubclass(error, errors.NothingMade | errors.OperationFailed)
        return JobState.FAILED if over else JobState.SUBMITTED
    if error is errors.Unknown:
        return JobState.UNKNOWN
    return JobState.FAILED if part.usd else None


def _why(part: Part, state: JobState) -> FailureRecord:
    if state in (JobState.STORED, JobState.SUBMITTED):
        return FailureRecord(step="", kind="", message="")
    if part.job is not None and part.job.reason_kind:
        return FailureRecord(step="", kind=part.job.reason_kind, message=part.job.reason, reason=part.job.reason_code)
    return part.failure or FailureRecord(
        step="", kind="ArchiveLost", message="Its file never reached the archive. --remake pays for it anew."
    )


def _slot(part: Part) -> str:
    return (
        take_slot(part.take)
        if isinstance(part, TakeRecord)
        else str(ClipSlot(part.take, part.step, part.variant, part.is_edit))
    )


def _model(sidecar: Sidecar, part: Part) -> str:
    if isinstance(part, ClipRecord):
        return part.model
    return sidecar.image.model if sidecar.image else ""


def _request(sidecar: Sidecar, part: Part) -> dict[str, object]:
    """Return what an older sidecar tells of a request, for people and for `recover`."""
    if isinstance(part, TakeRecord):
        return {"prompt": sidecar.prompt, "take": part.take, "inputs": []}
    frames = [take.file.sha256 for take in sidecar.takes if take.take == part.take and take.file]
    asked: dict[str, object] = {"prompt": sidecar.motion_prompt or "", "take": part.take, "inputs": frames}
    if part.requested_duration_s:
        asked["duration_s"] = part.requested_duration_s
    return asked


def _details(part: Part) -> dict[str, object] | None:
    told: tuple[tuple[str, object], ...]
    if isinstance(part, TakeRecord):
        told = ((TEXT, part.text), (REQUEST_ID, part.request_id), (RATINGS, [*part.safety_ratings]))
        ids: dict[str, object] = {"model_version": part.model_version, "response_id": part.response_id}
        of_file = {**ids, "tokens": dict(part.tokens)}
    else:
        told = ((RECORD, dict(part.reply)), (REQUEST_ID, part.request_id), (SUBMISSION_ID, part.submission_request_id))
        of_file = {"fps": part.file.fps if part.file else None}
    return {**(of_file if part.file else {}), **{name: value for name, value in told if value}} or None
