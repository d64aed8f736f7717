"""Store with a cut its recipe and how it was made.

The recipe differs from that of a cut of the same clip finished in another way.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; older cuts were framed and finished in the only way there was."""
    op.add_column("assets", sa.Column("recipe", sa.String(64), nullable=True))
    op.add_column("assets", sa.Column("details", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Raise an error: schemas are not downgraded.

    The ledger says what was paid for, and a step back would lose some of that.
    """
    raise NotImplementedError("the ledger cannot be taken back to an older schema; restore a copy")
