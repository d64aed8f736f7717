"""The tables. `migrations/` creates them; a test checks that the two agree."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

from callsheet.ledger.dialect import MicroUsd, ToldBigInt, ToldInt, UtcTime
from callsheet.ledger.job_state import JobState
from callsheet.shots import ShotOutcome


def _store_as_words(enum: type[JobState] | type[ShotOutcome]) -> Enum:
    return Enum(enum, native_enum=False, length=16, values_callable=lambda members: [m.value for m in members])


metadata = MetaData()

# reserved_usd and spent_usd are the sums over `attempts` of the batch that pays, kept in the same transaction, so
# that a budget is checked by reading a few rows.
batches = Table(
    "batches",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("campaign", String(255), nullable=False),
    Column("edition", String(255)),
    Column("mode", String(16), nullable=False),
    Column("manifest_uri", Text, nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
    # How it was asked for last: variables, budget and the like; NULL where nobody knows (schema 0001, rebuilt).
    Column("request", JSON),
    Column("reserved_usd", MicroUsd, nullable=False),
    Column("spent_usd", MicroUsd, nullable=False),
    Column("created", UtcTime, nullable=False),
    Column("updated", UtcTime, nullable=False),
    Index("batches_campaign", "campaign", "mode"),
)

# One row per paid request. batch, shot and slot are those that wanted it first; `wants` has all of them.
jobs = Table(
    "jobs",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("model", String(255), nullable=False),
    Column("state", _store_as_words(JobState), nullable=False),
    Column("batch", ForeignKey("batches.name"), nullable=False),
    Column("shot", String(255), nullable=False),
    Column("slot", String(64), nullable=False),
    Column("request", JSON, nullable=False),
    Column("operation", Text),
    Column("reason_kind", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("reason_code", Text, nullable=False),
    Column("estimated_usd", MicroUsd, nullable=False),
    Column("spent_usd", MicroUsd, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("sha256", String(64)),
    Column("md5", String(64)),
    Column("size", ToldBigInt),
    Column("mime_type", String(255)),
    Column("width", ToldInt),
    Column("height", ToldInt),
    Column("duration_s", Float),
    Column("details", JSON),
    Column("owner", String(255)),
    Column("lease_until", UtcTime),
    Column("parked_until", UtcTime),
    Column("created", UtcTime, nullable=False),
    Column("updated", UtcTime, nullable=False),
    Column("submitted_at", UtcTime),
    Column("finished_at", UtcTime),
    Index("jobs_owner", "owner"),
    Index("jobs_state", "state"),
)

# One row per paid POST (or slot held for one). `at` is the clock time that counts for the quota; reserved_usd is what
# is still held, usd what was spent. `batch` pays. `output` is the gs:// folder that the video goes to, "" for none,
# NULL where nobody knows (schema 0002, rebuilt). `credential` names the key or project that it was sent with, never the
# key itself; NULL before schema 0007. `doubt_usd` is what of `usd` only the bill can settle, NULL for nothing.
attempts = Table(
    "attempts",
    metadata,
    Column("job_key", ForeignKey("jobs.key"), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("batch", ForeignKey("batches.name"), nullable=False),
    Column("scope", String(255), nullable=False),
    Column("model", String(255), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("outcome", String(16), nullable=False),
    Column("status", ToldInt),
    Column("detail", Text, nullable=False),
    Column("estimated_usd", MicroUsd, nullable=False),
    Column("reserved_usd", MicroUsd, nullable=False),
    Column("usd", MicroUsd, nullable=False),
    Column("operation", Text),
    Column("output", Text),
    Column("credential", String(255)),
    Column("doubt_usd", MicroUsd),
    Index("attempts_quota", "scope", "model", "at", "outcome"),
    Index("attempts_spent", "scope", "at", "outcome", "reserved_usd", "usd"),
    Index("attempts_batch", "batch"),
)

assets = Table(
    "assets",
    metadata,
    Column("batch", ForeignKey("batches.name"), primary_key=True),
    Column("shot", String(255), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("md5", String(64), nullable=False),
    Column("size", ToldBigInt, nullable=False),
    Column("mime_type", String(255), nullable=False),
    Column("uri", Text, nullable=False),
    Column("created", UtcTime, nullable=False),
    Column("width", ToldInt),
    Column("height", ToldInt),
    Column("duration_s", Float),
    Column("job_key", String(64)),
    Column("parent", String(64)),
    Column("usd", MicroUsd, nullable=False),
    Column("model", String(255)),
    # What determines a cut (see cuts/encode/cut_plan.py), and how it came out; NULL for other kinds, and for cuts of
    # before (schema 0004).
    Column("recipe", String(64)),
    Column("details", JSON),
    Index("assets_sha256", "sha256"),
    Index("assets_job", "job_key"),
)

# A dropped shot is no longer in the manifest: kept for its history, not counted.
shots = Table(
    "shots",
    metadata,
    Column("batch", ForeignKey("batches.name"), primary_key=True),
    Column("shot", String(255), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("dropped", Boolean, nullable=False),
    Column("state", _store_as_words(ShotOutcome), nullable=False),
    Column("step", String(64), nullable=False),
    Column("reason_kind", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("updated", UtcTime, nullable=False),
)

# Which job fills which slot ("take-2", "clip-1") of a shot; several batches may want the same job.
wants = Table(
    "wants",
    metadata,
    Column("batch", ForeignKey("batches.name"), primary_key=True),
    Column("shot", String(255), primary_key=True),
    Column("slot", String(64), primary_key=True),
    Column("job_key", ForeignKey("jobs.key"), nullable=False),
    Index("wants_job", "job_key"),
)

# What people decided about a shot's takes: `n` counts from 1. `takes` are the approved ones and `shown` all there were,
# as {"2": sha256}; none approved is a rejection.
frame_decisions = Table(
    "frame_decisions",
    metadata,
    Column("batch", ForeignKey("batches.name"), primary_key=True),
    Column("shot", String(255), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("takes", JSON, nullable=False),
    Column("shown", JSON, nullable=False),
    Column("decided_by", String(255), nullable=False),
    Column("note", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)

# One row: which ledger this is. Archives name it while it works on a batch.
identity = Table("identity", metadata, Column("id", String(32), primary_key=True))

# Which take of a shot was chosen to be animated, by its scores: `n` counts from 1, `wish` is the sha256 of what was
# asked. The newest counts that fits the shot and its takes.
frame_pins = Table(
    "frame_pins",
    metadata,
    Column("batch", ForeignKey("batches.name"), primary_key=True),
    Column("shot", String(255), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("wish", String(64), nullable=False),
    Column("take", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("why", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)

# Which runs are at work on a batch, each with a lease: a killed one is known by its owner, or by the lease's end.
batch_runs = Table(
    "batch_runs",
    metadata,
    Column("batch", String(255), primary_key=True),
    Column("owner", String(255), primary_key=True),
    Column("lease_until", UtcTime, nullable=False),
)

# What 429 replies said, per "minute" or "day"; `most` None: no number was given. No slot before `pause_until`.
learned_limits = Table(
    "learned_limits",
    metadata,
    Column("scope", String(255), primary_key=True),
    Column("model", String(255), primary_key=True),
    Column("per", String(16), primary_key=True),
    Column("most", ToldInt),
    Column("pause_until", UtcTime),
    Column("until", UtcTime, nullable=False),
)
