"""The open database of one process: a thread that writes, and another that reads beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine

from callsheet.errors import CallsheetError
from callsheet.ledger import dialect
from callsheet.ledger.migrate import migrate
from callsheet.ledger.writer import Step, Writer

T = TypeVar("T")


class Database:
    """Runs write steps (durable when they return) and read steps (of what is committed)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.writer = Writer(engine)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="ledger-reader")
        self._connection: Connection | None = None

    @classmethod
    async def open(cls, url: str) -> Database:
        """Open, create or upgrade the database of a SQLAlchemy URL; LedgerError with advice when that fails."""
        engine = dialect.open_engine(url)
        await asyncio.to_thread(_prepare, engine)
        return cls(engine)

    async def write(self, step: Step[T]) -> T:
        """The value of `step(connection)`, durable; see Writer.run."""
        return await self.writer.run(step)

    async def read(self, step: Step[T]) -> T:
        """The value of `step(connection)`, which sees everything that was committed before."""
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
            raise dialect.told(error, self._engine) from error

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
        raise dialect.told(error, engine) from error
