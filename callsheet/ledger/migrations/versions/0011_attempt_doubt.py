"""Store what of an attempt's cost only the bill can settle.

Until now a request in doubt that was sent again, or given up, was counted like one that is known to have been charged.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of earlier doubts, those count that no evidence had decided."""
    op.add_column("attempts", sa.Column("doubt_usd", sa.BigInteger(), nullable=True))
    op.execute(
        "UPDATE attempts SET doubt_usd = usd "
        "WHERE outcome = 'unknown' AND usd > 0 AND detail NOT LIKE '%by evidence: accepted%'"
    )


def downgrade() -> None:
    """Raise an error: schemas are not downgraded.

    The ledger says what was paid for, and a step back would lose some of that.
    """
    raise NotImplementedError("the ledger cannot be taken back to an older schema; restore a copy")
