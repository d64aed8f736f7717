"""The one place that knows how databases differ.

Opening, locking for writing, and the meaning of their errors.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import URL, BigInteger, Connection, Engine, Integer, NullPool, create_engine, event, make_url
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.types import TypeDecorator

from callsheet.errors import LedgerError
from callsheet.ledger.prepared import command

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MICROS_PER_USD = 1_000_000


class MicroUsd(TypeDecorator[Decimal]):
    """A Decimal in USD, stored as a whole number of millionths, so sums are exact."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        """Convert USD to millionths, rounded half up."""
        if value is None:
            return None
        return int((value * _MICROS_PER_USD).to_integral_value(ROUND_HALF_UP))

    def process_result_value(self, value: int | Decimal | None, dialect: Dialect) -> Decimal | None:
        """Convert millionths to USD (PostgreSQL sums arrive as Decimal)."""
        return None if value is None else Decimal(value).scaleb(-6)


class ToldInt(TypeDecorator[int]):
    """A number from a stranger (a reply, a file), clamped to 32 bits."""

    impl = Integer
    cache_ok = True
    _most = 2**31 - 1

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        """Clamp the number to the column's range."""
        return None if value is None else max(-self._most, min(value, self._most))


class ToldBigInt(ToldInt):
    """A number from a stranger (a reply, a file), clamped to 64 bits."""

    impl = BigInteger
    cache_ok = True
    _most = 2**63 - 1


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, stored as microseconds since 1970: sortable and exact."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Convert an aware datetime to microseconds; a naive one raises TypeError."""
        return None if value is None else (value - EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Convert microseconds to a datetime in UTC."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


BUSY_TIMEOUT_S = 30.0
# Any number that no other program is likely to lock in the same database: "callshee" in ASCII.
_ADVISORY_LOCK = 0x63616C6C73686565


def open_engine(url: str) -> Engine:
    """Create an engine in autocommit mode, and the folder of a SQLite file.

    Transactions are begun by `begin_write`. SQLite and PostgreSQL are supported. Raises LedgerError.
    """
    try:
        parsed = _normalize(make_url(url))
        if parsed.get_backend_name() == "sqlite":
            _make_file(parsed)
        engine = create_engine(parsed, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise LedgerError(
            f"CALLSHEET_LEDGER is not a URL that callsheet can open: {type(error).__name__}. Use "
            "sqlite:////absolute/path/ledger.db or postgresql://user@host/database (`pip install callsheet[postgres]`)."
        ) from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def find_file(url: str) -> Path | None:
    """Return the file of a SQLite URL; None for any other."""
    with suppress(ArgumentError):
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database and parsed.database != ":memory:":
            return Path(parsed.database).absolute()
    return None


def name_place(engine: Engine) -> str:
    """Return where a ledger is: its file, or its URL without the password."""
    url = engine.url
    is_file = url.get_backend_name() == "sqlite"
    return str(url.database) if is_file else url.render_as_string(hide_password=True)


def begin_write(connection: Connection) -> None:
    """Begin a transaction that excludes every other writer of this ledger.

    It excludes them in any process, until it ends. Reads inside it are therefore current until its commit: to read,
    decide and write needs no upserts.
    """
    if connection.dialect.name == "sqlite":
        command(connection, "BEGIN IMMEDIATE")
    else:
        command(connection, "BEGIN")
        command(connection, f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")


def read_only(connection: Connection) -> None:
    """Make the connection refuse to write."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only=ON")
    else:
        connection.exec_driver_sql("SET default_transaction_read_only = on")


def as_ledger_error(error: Exception, engine: Engine) -> Exception:
    """Convert a database error to a LedgerError with advice.

    Any error that is not of the database or its driver is returned as it is. The message never shows a password or the
    values of a statement.
    """
    if not isinstance(error, (SQLAlchemyError, engine.dialect.loaded_dbapi.Error)):
        return error
    what = str(getattr(error, "orig", None) or error).splitlines()[0]
    place = name_place(engine)
    for sign, advice in _ADVICE:
        if sign in what:
            return LedgerError(f"The ledger {place} cannot be used: {what}. {advice}")
    return LedgerError(f"The ledger {place} failed: {what}. Nothing of this step was recorded. Start the batch again.")


_DAMAGED = (
    "The file is damaged or is not a ledger. Nothing was changed. Restore it from a copy, or point CALLSHEET_LEDGER at "
    "a new file; keep the damaged one, because it names what was paid for."
)
_ADVICE = (
    ("file is not a database", _DAMAGED),
    ("malformed", _DAMAGED),
    ("file is encrypted", _DAMAGED),
    ("locked", f"Another program has held it for {BUSY_TIMEOUT_S:.0f} s. End that program, then start again."),
    ("unable to open", "Check that the folder exists and that you may write there, or set CALLSHEET_LEDGER."),
    ("readonly", "You may not write to the file or its folder. Change that, or set CALLSHEET_LEDGER."),
    ("disk is full", "Free some space and start again; what was recorded before is safe."),
    ("disk I/O error", "Check the disk. The ledger needs a local disk: SQLite is not safe on network file systems."),
    ("onnection", "Check that the database server runs and can be reached, then start again."),
)


def _normalize(url: URL) -> URL:
    if url.drivername in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ArgumentError("unsupported")
    return url


def _make_file(url: URL) -> None:
    """Create the ledger's file, which only its owner may read.

    A file that is there keeps its mode. SQLite gives the files beside it the same mode, and takes an empty file for a
    new database.
    """
    if not url.database or url.database == ":memory:":
        raise LedgerError("The ledger must be a file, not memory: what is paid for has to survive the process.")
    folder = Path(url.database).absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(
            f"The folder {folder} for the ledger cannot be made: {error.strerror}. "
            "Set CALLSHEET_HOME or CALLSHEET_LEDGER to a place where you may write."
        ) from None
    # What cannot be made here, SQLite says in its own words.
    with suppress(OSError):
        os.close(os.open(url.database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")
    _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL mode, retrying while others have it open.

    WAL is a property of the file. The switch needs the file alone and does not use the busy timeout.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            if connection.execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
                raise sqlite3.OperationalError("disk I/O error: the file system cannot keep a write-ahead log")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
