"""The open database of one process: one thread that writes, one that reads."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import as_file, files
from typing import TypeVar

from sqlalchemy import Connection, Engine, inspect, text

from callsheet.errors import CallsheetError, LedgerError
from callsheet.ledger import dialect, tables
from callsheet.ledger.dialect import begin_write
from callsheet.ledger.writer import Step, Writer

# The revision this code works with: the newest file in migrations/versions (a test compares).
HEAD = "0011"
# Its own name, so that a database may be shared with other programs that use alembic.
VERSION_TABLE = "callsheet_schema"


def migrate(connection: Connection) -> None:
    """Create or upgrade the tables in one write transaction.

    Of several processes that start at once, one does it and the others find it done. Raises LedgerError when a newer
    callsheet made the ledger.
    """
    if read_revision(connection) == HEAD:
        return
    begin_write(connection)
    try:
        found = read_revision(connection)
        if found is None:
            _create(connection)
        elif found != HEAD:
            _upgrade(connection, found)
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def read_revision(connection: Connection) -> str | None:
    """Return the schema of a ledger; None when it has no tables yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return found


def _create(connection: Connection) -> None:
    """Create the tables of a new ledger at once.

    A test compares them with what the migrations make.
    """
    tables.metadata.create_all(connection, checkfirst=False)
    connection.execute(tables.identity.insert().values(id=secrets.token_hex(16)))
    connection.exec_driver_sql(
        f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, "
        f"CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num))"
    )
    connection.execute(text(f"INSERT INTO {VERSION_TABLE} VALUES (:head)"), {"head": HEAD})  # noqa: S608


def _upgrade(connection: Connection, found: str) -> None:
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
            ScriptDirectory.from_config(config).get_revision(found)
            command.upgrade(config, "head")
        except CommandError as error:
            raise LedgerError(
                f"The ledger has schema {found!r}, and this callsheet knows schemas up to {HEAD!r} ({error}). "
                "Nothing was changed. A newer callsheet wrote it: upgrade this one, or set CALLSHEET_LEDGER."
            ) from None


T = TypeVar("T")


class Database:
    """Runner of write steps (durable when they return) and read steps.

    Read steps see what is committed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.writer = Writer(engine)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="ledger-reader")
        self._connection: Connection | None = None

    @classmethod
    async def open(cls, url: str) -> Database:
        """Open, create or upgrade the database of a SQLAlchemy URL.

        Raises LedgerError with advice when that fails.
        """
        engine = dialect.open_engine(url)
        await asyncio.to_thread(_prepare, engine)
        return cls(engine)

    async def write(self, step: Step[T]) -> T:
        """Return the value of `step(connection)` once it is durable; see Writer.run."""
        return await self.writer.run(step)

    async def read(self, step: Step[T]) -> T:
        """Return the value of `step(connection)`, which sees everything committed before."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._read, step)

    async def aclose(self) -> None:
        """Finish what is queued and close both connections."""
        await self.writer.aclose()
        await asyncio.get_running_loop().run_in_executor(self._reader, self._forget)
        self._reader.shutdown()
        self._engine.dispose()

    def _read(self, step: Callable[[Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
                dialect.read_only(self._connection)
            return step(self._connection)
        except CallsheetError:
            raise
        except Exception as error:
            self._forget()
            raise dialect.as_ledger_error(error, self._engine) from error

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _prepare(engine: Engine) -> None:
    try:
        with engine.connect() as connection:
            migrate(connection)
    except CallsheetError:
        raise
    except Exception as error:
        raise dialect.as_ledger_error(error, engine) from error
