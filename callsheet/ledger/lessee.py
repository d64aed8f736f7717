"""The leases that one process has of jobs, and its runs of batches.

Nobody else may work on its jobs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from callsheet.clock import Clock
from callsheet.errors import SPEND, LedgerError
from callsheet.ledger import leases, model_usage, owners, quota_usage
from callsheet.ledger.database import Database
from callsheet.ledger.queries import Answers
from callsheet.ledger.records import Claim, Job, JobOrder

P = ParamSpec("P")
T = TypeVar("T")


class LearnedLimits(Answers):
    """Writer of the limits and final refusals that replies stated.

    At the clock's time.
    """

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
        """Record the limit of a 429 reply; returns when requests may go on.

        `per` is "minute", "day" or SPEND. Every `begin` heeds it. What SPEND limits, in US cents, is the money of all
        models together: its model is ALL.
        """
        if per not in ("minute", "day", SPEND):
            raise LedgerError(f'A quota is per "minute", "day" or "spend", not {per!r}. Nothing was recorded.')
        reply = quota_usage.LimitReply(per, limit, retry_after_s)
        return await self._write(quota_usage.lower_limit, scope, model, reply)

    async def close_route(self, scope: str, model: str) -> None:
        """Mark a model of a scope ("": every one) as refused for good.

        It is tried with one request from then on.
        """
        await self._write(model_usage.close_route, scope, model)

    async def open_route(self, scope: str, models: Sequence[str]) -> None:
        """Remove the marks of closed models, after a request was accepted again."""
        await self._write(model_usage.open_route, scope, models)

    async def forget_limits(self, scope: str, models: Sequence[str] | None = None) -> int:
        """Delete what 429 replies said of these models (None: of all) in a scope.

        Returns the number of rows deleted.
        """
        return await self._write(model_usage.forget_limits, scope, models)

    async def _write(
        self, step: Callable[Concatenate[Connection, datetime, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a step at the clock's time of its transaction.

        So rows are in the order of their times.
        """
        return await self._db.write(lambda connection: step(connection, self._clock.now(), *args, **kwargs))


log = logging.getLogger(__name__)


class Leases(LearnedLimits):
    """Leases of jobs and batches, renewed until given back; they run on real time."""

    def __init__(self, database: Database, clock: Clock, holder: leases.Holder) -> None:
        super().__init__(database, clock)
        self.owner = holder.owner
        self._holder = holder

    async def claim(self, order: JobOrder) -> Claim:
        """Return the job of an order (planned if new), and whether it is ours.

        Among all that ask, one gets it. It is ours when nobody works on it, its owner is dead or its lease is over, or
        we own it already. A job whose dead owner was sending comes back `unknown`, one that only reserved a slot comes
        back `planned`.
        """
        return await self._write(leases.claim, order, self._holder)

    async def take(self, key: str) -> Claim:
        """Claim a job that is on record already, without an order.

        Which slots want it stays as it is: it serves to collect what is still to come. LedgerError when there is no
        such job.
        """
        return await self._write(leases.take, key, self._holder)

    async def change_model(self, key: str, model: str) -> Job:
        """Have another model asked for a job of ours, of which nothing was accepted.

        LedgerError when it was sent.
        """
        return await self._write(leases.change_model, key, model, self._holder)

    async def release(self, key: str) -> None:
        """Give a job's lease back before its end.

        A slot and money that were reserved are free again.
        """
        await self._write(leases.release, self._holder, key)

    async def enter_run(self, batch: str) -> None:
        """Record that a run of ours works on the batch.

        It counts until `leave_run`, `aclose`, or our end.
        """
        await self._write(owners.enter_run, batch, self.owner, self._holder.until())

    async def leave_run(self, batch: str) -> bool:
        """Record that our run of the batch ended; True when no other run works on it."""
        return await self._write(owners.leave_run, batch, self.owner)

    async def _give_back(self) -> None:
        await self._write(leases.release, self._holder)
        await self._db.write(lambda c: owners.leave_all_runs(c, self.owner))

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(self._holder.lease_s / 3)
            try:
                await self._db.write(lambda c: leases.renew(c, self._holder))
                await self._db.write(lambda c: owners.renew_runs(c, self.owner, self._holder.until()))
            except LedgerError:
                log.warning("The ledger's leases could not be renewed; trying again", exc_info=True)
