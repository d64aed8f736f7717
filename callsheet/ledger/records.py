"""The values that the ledger takes and gives, frozen.

Money in USD, times aware and in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from callsheet.ledger.job_state import JobState
from callsheet.ledger.quota import QuotaLimits
from callsheet.ledger.spend_window import SpendLimits
from callsheet.shots import Batch, Mode, ShotOutcome

OTHERS, TEXT = "others", "text"
# In a picture's request: the take that it was made of, as `kite:2`, whose sha256 is the first of its inputs.
EDIT_OF = "edit_of"
# In a request: the model that its sheet names first, where another one of its list was asked. The key is made with it.
ASKED_MODEL = "asked_model"
# For a support case: the provider's id of the exchange, and how it rated what was asked and made. A video has two such
# exchanges: its submission, and the poll that told of it.
REQUEST_ID, RATINGS, SUBMISSION_ID = "request_id", "safety_ratings", "submission_request_id"
# When a person last entered what the bill says of a job's doubts, in ISO form.
BILLED = "billed"
# What the provider said of a video's operation in the end, as JSON without bytes.
RECORD = "operation_reply"


JobKind = Literal["image", "video", "look"]
Decision = Literal["resubmit", "adopt", "drop"]
BudgetScope = Literal["campaign", "batch"]


@dataclass(frozen=True, slots=True)
class JobOrder:
    """An order of one paid request: who wants it (batch, shot, slot) and its content.

    `request` is kept as JSON for people and for `resolve`: no bytes, no secrets, at most 256 KiB. The `fallbacks` are
    asked in their order when nothing was accepted: the model before is overloaded for long, or gone; with
    `fallback_on_quota` also when its day is full.
    """

    key: str
    kind: JobKind
    mode: Mode
    model: str
    campaign: str
    batch: str
    shot: str
    slot: str
    request: Mapping[str, Any] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    fallback_on_quota: bool = False


@dataclass(frozen=True, slots=True)
class JobResult:
    """The bytes that a job gave, and what they cost.

    Size in bytes, width and height in pixels.
    """

    sha256: str
    md5: str
    size: int
    mime_type: str
    usd: Decimal
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """One paid request and its state.

    `sha256` and the fields after it are set once it is finished. `batch`, `shot` and `slot` are those that wanted it
    first. `reason_kind` is the class of the error that stopped it last, `reason_code` the provider's own code.
    `attempts` counts its attempts, `spent_usd` sums what they cost.
    """

    key: str
    kind: JobKind
    mode: Mode
    model: str
    state: JobState
    batch: str
    shot: str
    slot: str
    request: Mapping[str, Any]
    operation: str | None
    reason_kind: str
    reason: str
    reason_code: str
    estimated_usd: Decimal
    spent_usd: Decimal
    attempts: int
    sha256: str | None
    md5: str | None
    size: int | None
    mime_type: str | None
    width: int | None
    height: int | None
    duration_s: float | None
    details: Mapping[str, Any] | None
    owner: str | None
    lease_until: datetime | None
    parked_until: datetime | None
    created: datetime
    updated: datetime
    submitted_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A job and its lease: `mine` when this ledger has it and work is left."""

    job: Job
    mine: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """One paid POST about to be sent.

    `not_before` is its slot (clock time) when that lies in the future, else None. `output` is the gs:// folder of
    videos that its own one is to be written under, "" or None for none. `request_id` is the provider's, once it has
    replied with one.
    """

    key: str
    n: int
    scope: str
    model: str
    estimate: Decimal
    limits: QuotaLimits = field(default_factory=QuotaLimits)
    not_before: datetime | None = None
    output: str | None = None
    spend: SpendLimits = field(default_factory=SpendLimits)
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """An attempt as it is on record.

    `outcome` is "reserved" and "open" while it lives, "dropped" when nothing was sent, else the state it put the job in
    ("planned": given back to be tried again). `reserved_usd` is still reserved, `usd` was spent. `output` is where its
    video was to be written, "" for no bucket, None when that is not known. `credential` names the key or project that
    it was sent with, None when that is not known. `doubt_usd` is what of `usd` is not known to have been charged: the
    request was in doubt, and only the bill can settle it.
    """

    job_key: str
    n: int
    batch: str
    scope: str
    model: str
    kind: JobKind
    at: datetime
    ended_at: datetime | None
    outcome: str
    status: int | None
    detail: str
    estimated_usd: Decimal
    reserved_usd: Decimal
    usd: Decimal
    operation: str | None
    output: str | None = None
    credential: str | None = None
    doubt_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ShotRow:
    """The state of a shot in its batch, and why."""

    batch: str
    shot: str
    position: int
    state: ShotOutcome
    step: str
    reason_kind: str
    reason: str
    updated: datetime


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch and the money that its own submissions reserve and have spent.

    `request` holds the settings of its last start (variables, budget ...), None where the ledger does not know.
    """

    batch: Batch
    reserved_usd: Decimal
    spent_usd: Decimal
    created: datetime
    updated: datetime
    request: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Want:
    """A slot of a shot, and the job that fills it."""

    batch: str
    shot: str
    slot: str
    job_key: str


@dataclass(frozen=True, slots=True)
class SpendRow:
    """Money by campaign, mode, model and Pacific day.

    It is of attempts that were sent or have a slot.
    """

    campaign: str
    mode: Mode
    model: str
    day: date
    attempts: int
    estimated_usd: Decimal
    reserved_usd: Decimal
    spent_usd: Decimal


def find_asked_model(job: Job) -> str:
    """Return the model that a job's sheet names first, whichever was asked."""
    return str(job.request.get(ASKED_MODEL) or job.model)


# Two days (ai.google.dev/gemini-api/docs/video, read 2026-10).
RETENTION = timedelta(days=2)


def is_worth_a_look(job: Job) -> bool:
    """Return whether an expired job may still have its file at the provider.

    It was given up before its retention was over: looking for it again is free.
    """
    if job.state is not JobState.EXPIRED or not job.operation or job.submitted_at is None:
        return False
    return job.updated <= job.submitted_at + RETENTION
