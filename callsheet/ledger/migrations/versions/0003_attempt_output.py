"""Store with an attempt where its video was to be written.

So it is found there when the settings have changed.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of attempts of before it is not known."""
    op.add_column("attempts", sa.Column("output", sa.Text(), nullable=True))


def downgrade() -> None:
    """Raise an error: schemas are not downgraded.

    The ledger says what was paid for, and a step back would lose some of that.
    """
    raise NotImplementedError("the ledger cannot be taken back to an older schema; restore a copy")
