"""A cut remembers its recipe, so that it is told from one of the same clip that is finished in another way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; cuts of before were framed and finished in the one way there was."""
    op.add_column("assets", sa.Column("recipe", sa.String(64), nullable=True))


def downgrade() -> None:
    """Not offered: the ledger says what was paid for, and a step back would lose some of that."""
    raise NotImplementedError("the ledger cannot be taken back to an older schema; restore a copy")
