"""Run the migrations on the connection and in the transaction it is given.

`callsheet.ledger.database` has both.
"""

from __future__ import annotations

from alembic import context

from callsheet.ledger.database import VERSION_TABLE
from callsheet.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
