"""The ledger's clock, and what it is told of limits by the provider's refusals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from callsheet.clock import Clock
from callsheet.errors import SPEND, LedgerError
from callsheet.ledger import closed, limits
from callsheet.ledger.answers import Answers
from callsheet.ledger.database import Database

P = ParamSpec("P")
T = TypeVar("T")


class LearnedLimits(Answers):
    """Writes what 429 replies and refusals for good say, at the clock's time."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database)
        self._clock = clock

    async def lower_limit(
        self,
        scope: str,
        model: str,
        per: str,
        limit: int | None = None,
        retry_after_s: float | None = None,
    ) -> datetime:
        """Learn from a 429: `per` is "minute", "day" or SPEND. Returns when requests may go on; every `begin` heeds it.

        What SPEND limits, in US cents, is the money of all models together: its model is ALL.
        """
        if per not in ("minute", "day", SPEND):
            raise LedgerError(f'A quota is per "minute", "day" or "spend", not {per!r}. Nothing was recorded.')
        return await self._write(limits.lower_limit, scope, model, per, limit, retry_after_s)

    async def close_route(self, scope: str, model: str) -> None:
        """Mark a model of a scope ("": every one) as refused for good; it is tried with one request from then on."""
        await self._write(closed.close_route, scope, model)

    async def open_route(self, scope: str, models: Sequence[str]) -> None:
        """Take such marks away: a request was taken again."""
        await self._write(closed.open_route, scope, models)

    async def forget_limits(self, scope: str, models: Sequence[str] | None = None) -> int:
        """Forget what 429 replies said of these models (None: of all) in a scope; returns how many rows there were."""
        return await self._write(closed.forget, scope, models)

    async def _write(
        self, step: Callable[Concatenate[Connection, datetime, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """A step at the clock's time of its transaction, so that rows are in the order of their times."""
        return await self._db.write(lambda connection: step(connection, self._clock.now(), *args, **kwargs))
