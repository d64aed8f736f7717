"""An attempt remembers where its video was to be written, so that it is found there when the settings are others."""

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
    """Not offered: the ledger says what was paid for, and a step back would lose some of that."""
    raise NotImplementedError("the ledger cannot be taken back to an older schema; restore a copy")
