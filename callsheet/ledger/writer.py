"""Group commit: one thread does all writing.

Whatever waits while it commits shares the next commit. A commit costs a flush to disk. With sixteen callers at once,
one flush serves up to sixteen of them, and each still gets its answer only after the flush: what `run` returned
survives a crash.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from callsheet.errors import LedgerError
from callsheet.ledger import dialect
from callsheet.ledger.prepared import command

log = logging.getLogger(__name__)

T = TypeVar("T")
Step = Callable[[Connection], T]

# Bounds how long one transaction keeps other processes from writing.
GROUP_MAX = 128


@dataclass(slots=True)
class _Waiting:
    step: Step[Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    value: Any = None
    error: BaseException | None = None


class Writer:
    """A thread that runs steps one after the other, each all or nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._connection: Connection | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="ledger-writer", daemon=True)
        self._thread.start()

    async def run(self, step: Step[T]) -> T:
        """Return the value of `step(connection)` once it is durable.

        Raises its error when it raised, with nothing written. A caller that is cancelled while waiting cannot know
        whether its step was done.
        """
        if self._closed:
            raise LedgerError("The ledger is closed. Nothing was recorded; open it again.")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(step, loop.create_future(), loop)
        self._queue.put(waiting)
        result: T = await waiting.future
        return result

    async def aclose(self) -> None:
        """Finish what is queued, then end the thread and its connection."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        going = True
        while going:
            group, going = self._next_group()
            if group:
                self._commit(group)
        self._disconnect()

    def _next_group(self) -> tuple[list[_Waiting], bool]:
        first = self._queue.get()
        group: list[_Waiting] = []
        while first is not None:
            group.append(first)
            if len(group) == GROUP_MAX:
                return group, True
            try:
                first = self._queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _commit(self, group: list[_Waiting]) -> None:
        try:
            connection = self._connect()
            dialect.begin_write(connection)
            for waiting in group:
                _attempt(connection, waiting)
            command(connection, "COMMIT")
        except Exception as error:
            # The thread has to live on: without it every caller would wait for ever.
            self._disconnect()
            given = dialect.as_ledger_error(error, self._engine)
            for waiting in group:
                waiting.error = given
        _deliver(group)

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _disconnect(self) -> None:
        """Close the connection; the database rolls back what was not committed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.invalidate()
                connection.close()


def _attempt(connection: Connection, waiting: _Waiting) -> None:
    """Run one step inside its savepoint.

    An error of the database itself that breaks the transaction is passed on.
    """
    command(connection, "SAVEPOINT step")
    try:
        waiting.value = waiting.step(connection)
    except Exception as error:
        command(connection, "ROLLBACK TO SAVEPOINT step")
        waiting.error = dialect.as_ledger_error(error, connection.engine)
    command(connection, "RELEASE SAVEPOINT step")


def _deliver(group: list[_Waiting]) -> None:
    """Wake each event loop once."""
    for loop in {waiting.loop for waiting in group}:
        mine = [waiting for waiting in group if waiting.loop is loop]
        try:
            loop.call_soon_threadsafe(_resolve, mine)
        except RuntimeError:
            log.debug("An event loop ended while %d of its ledger steps were under way", len(mine))


def _resolve(group: list[_Waiting]) -> None:
    for waiting in group:
        if waiting.future.done():
            continue
        if waiting.error is not None:
            waiting.future.set_exception(waiting.error)
        else:
            waiting.future.set_result(waiting.value)
