"""Store people's decisions about frames.

Which takes of a shot are animated, by whom and when.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "frame_decisions",
        sa.Column("batch", sa.String(255), sa.ForeignKey("batches.name"), primary_key=True),
        sa.Column("shot", sa.String(255), primary_key=True),
        sa.Column("n", sa.Integer(), primary_key=True),
        sa.Column("takes", sa.JSON(), nullable=False),
        sa.Column("shown", sa.JSON(), nullable=False),
        sa.Column("decided_by", sa.String(255), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Raise an error: schemas are not downgraded.

    The ledger says what was paid for, and a step back would lose some of that.
    """
    raise NotImplementedError("the ledger cannot be taken back to an older schema; restore a copy")
