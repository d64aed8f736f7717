"""A cut remembers its recipe, which tells it from one of the same clip finished in another way, and how it was made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; cuts of before were framed and finished in the one way there was."""
    op.add_column("assets", sa.Column("recipe", sa.String(64), nullable=True))
    op.add_column("assets", sa.Column("details", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Not offered: the ledger says what was paid for, and a step back would lose some of that."""
    raise NotImplementedError("the ledger cannot be taken back to an older schema; restore a copy")
