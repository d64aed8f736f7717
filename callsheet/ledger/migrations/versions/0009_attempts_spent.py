"""Index the attempts so that a scope's spending since a moment is summed fast.

Every request asks for its month.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index, which has all that the sums need."""
    op.create_index("attempts_spent", "attempts", ["scope", "at", "outcome", "reserved_usd", "usd"])


def downgrade() -> None:
    """Raise an error: schemas are not downgraded.

    The ledger says what was paid for, and a step back would lose some of that.
    """
    raise NotImplementedError("the ledger cannot be taken back to an older schema; restore a copy")
