"""Run the migrations on the connection that `callsheet.ledger.database` holds, inside its transaction."""

from __future__ import annotations

from alembic import context

from callsheet.ledger.database import VERSION_TABLE
from callsheet.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
