"""An attempt remembers which key or project sent it: only that one may be shown its operation and its file."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of attempts of before nothing but their quota's scope is known."""
    op.add_column("attempts", sa.Column("credential", sa.String(255), nullable=True))


def downgrade() -> None:
    """Not offered: the ledger says what was paid for, and a step back would lose some of that."""
    raise NotImplementedError("the ledger cannot be taken back to an older schema; restore a copy")
