"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    _batches()
    _learned_limits()
    _assets()
    _jobs()
    _shots()
    _attempts()
    _wants()


def downgrade() -> None:
    """Raise an error: schemas are not downgraded.

    The ledger says what was paid for, and a step back would lose some of that.
    """
    raise NotImplementedError("the ledger cannot be taken back to an older schema; restore a copy")


def _batches() -> None:
    op.create_table(
        "batches",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("campaign", sa.String(255), nullable=False),
        sa.Column("edition", sa.String(255)),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("manifest_uri", sa.Text(), nullable=False),
        sa.Column("manifest_sha256", sa.String(64), nullable=False),
        sa.Column("reserved_usd", sa.BigInteger(), nullable=False),
        sa.Column("spent_usd", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
    )
    op.create_index("batches_campaign", "batches", ["campaign", "mode"])


def _learned_limits() -> None:
    op.create_table(
        "learned_limits",
        sa.Column("scope", sa.String(255), primary_key=True),
        sa.Column("model", sa.String(255), primary_key=True),
        sa.Column("per", sa.String(16), primary_key=True),
        sa.Column("most", sa.Integer()),
        sa.Column("pause_until", sa.BigInteger()),
        sa.Column("until", sa.BigInteger(), nullable=False),
    )


def _assets() -> None:
    op.create_table(
        "assets",
        sa.Column("batch", sa.String(255), sa.ForeignKey("batches.name"), primary_key=True),
        sa.Column("shot", sa.String(255), primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("md5", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mime_type", sa.String(255), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("duration_s", sa.Float()),
        sa.Column("job_key", sa.String(64)),
        sa.Column("parent", sa.String(64)),
        sa.Column("usd", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.String(255)),
    )
    op.create_index("assets_job", "assets", ["job_key"])
    op.create_index("assets_sha256", "assets", ["sha256"])


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("model", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("batch", sa.String(255), sa.ForeignKey("batches.name"), nullable=False),
        sa.Column("shot", sa.String(255), nullable=False),
        sa.Column("slot", sa.String(64), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("operation", sa.Text()),
        sa.Column("reason_kind", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=False),
        sa.Column("estimated_usd", sa.BigInteger(), nullable=False),
        sa.Column("spent_usd", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(64)),
        sa.Column("md5", sa.String(64)),
        sa.Column("size", sa.BigInteger()),
        sa.Column("mime_type", sa.String(255)),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("duration_s", sa.Float()),
        sa.Column("details", sa.JSON()),
        sa.Column("owner", sa.String(255)),
        sa.Column("lease_until", sa.BigInteger()),
        sa.Column("parked_until", sa.BigInteger()),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("submitted_at", sa.BigInteger()),
        sa.Column("finished_at", sa.BigInteger()),
    )
    op.create_index("jobs_owner", "jobs", ["owner"])
    op.create_index("jobs_state", "jobs", ["state"])


def _shots() -> None:
    op.create_table(
        "shots",
        sa.Column("batch", sa.String(255), sa.ForeignKey("batches.name"), primary_key=True),
        sa.Column("shot", sa.String(255), primary_key=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("dropped", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("step", sa.String(64), nullable=False),
        sa.Column("reason_kind", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
    )


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("job_key", sa.String(64), sa.ForeignKey("jobs.key"), primary_key=True),
        sa.Column("n", sa.Integer(), primary_key=True),
        sa.Column("batch", sa.String(255), sa.ForeignKey("batches.name"), nullable=False),
        sa.Column("scope", sa.String(255), nullable=False),
        sa.Column("model", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("estimated_usd", sa.BigInteger(), nullable=False),
        sa.Column("reserved_usd", sa.BigInteger(), nullable=False),
        sa.Column("usd", sa.BigInteger(), nullable=False),
        sa.Column("operation", sa.Text()),
    )
    op.create_index("attempts_batch", "attempts", ["batch"])
    op.create_index("attempts_quota", "attempts", ["scope", "model", "at", "outcome"])


def _wants() -> None:
    op.create_table(
        "wants",
        sa.Column("batch", sa.String(255), sa.ForeignKey("batches.name"), primary_key=True),
        sa.Column("shot", sa.String(255), primary_key=True),
        sa.Column("slot", sa.String(64), primary_key=True),
        sa.Column("job_key", sa.String(64), sa.ForeignKey("jobs.key"), nullable=False),
    )
    op.create_index("wants_job", "wants", ["job_key"])
