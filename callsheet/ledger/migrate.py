"""Bring the schema up to date when the ledger is opened, safely when several processes start at once."""

from __future__ import annotations

from importlib.resources import as_file, files

from sqlalchemy import Connection, inspect, text

from callsheet.errors import LedgerError
from callsheet.ledger.dialect import begin_write

# The revision this code works with: the newest file in migrations/versions (a test compares).
HEAD = "0010"
# Its own name, so that a database may be shared with other programs that use alembic.
VERSION_TABLE = "callsheet_schema"


def migrate(connection: Connection) -> None:
    """Create or upgrade the tables in one write transaction; one starter does it, the others find it done.

    Raises LedgerError when a newer callsheet made the ledger.
    """
    if _revision(connection) == HEAD:
        return
    begin_write(connection)
    try:
        found = _revision(connection)
        if found != HEAD:
            _upgrade(connection, found)
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return found


def _upgrade(connection: Connection, found: str | None) -> None:
    # Imported here: it takes longer than opening a ledger that is up to date.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    with as_file(files("callsheet.ledger") / "migrations") as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        try:
            if found is not None:
                ScriptDirectory.from_config(config).get_revision(found)
            command.upgrade(config, "head")
        except CommandError as error:
            raise LedgerError(
                f"The ledger has schema {found!r}, and this callsheet knows schemas up to {HEAD!r} ({error}). "
                "Nothing was changed. A newer callsheet wrote it: upgrade this one, or set CALLSHEET_LEDGER."
            ) from None
