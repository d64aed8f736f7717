"""Store with an attempt the name of the key or project that sent it.

Only that one may be shown its operation and its file.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of older attempts only the scope of their quota is known."""
    op.add_column("attempts", sa.Column("credential", sa.String(255), nullable=True))


def downgrade() -> None:
    """Raise an error: schemas are not downgraded.

    The ledger says what was paid for, and a step back would lose some of that.
    """
    raise NotImplementedError("the ledger cannot be taken back to an older schema; restore a copy")
