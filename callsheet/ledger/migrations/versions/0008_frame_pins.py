"""Store which take was chosen to be animated, before its clip is paid for.

So it is chosen once.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; earlier choices are read from the clips that were sent.

    See callsheet/plan/frames.py.
    """
    op.create_table(
        "frame_pins",
        sa.Column("batch", sa.String(255), sa.ForeignKey("batches.name"), primary_key=True),
        sa.Column("shot", sa.String(255), primary_key=True),
        sa.Column("n", sa.Integer(), primary_key=True),
        sa.Column("wish", sa.String(64), nullable=False),
        sa.Column("take", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Raise an error: schemas are not downgraded.

    The ledger says what was paid for, and a step back would lose some of that.
    """
    raise NotImplementedError("the ledger cannot be taken back to an older schema; restore a copy")
