"""Store which runs work on a batch.

The last of them takes back the ledger's claim on it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; runs of earlier versions are not in it."""
    op.create_table(
        "batch_runs",
        sa.Column("batch", sa.String(255), primary_key=True),
        sa.Column("owner", sa.String(255), primary_key=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Raise an error: schemas are not downgraded.

    The ledger says what was paid for, and a step back would lose some of that.
    """
    raise NotImplementedError("the ledger cannot be taken back to an older schema; restore a copy")
