"""What one process holds of the ledger: jobs that nobody else may work on, and batches that it is at work on."""

from __future__ import annotations

import asyncio
import logging

from callsheet.clock import Clock
from callsheet.errors import LedgerError
from callsheet.ledger import claims, runs
from callsheet.ledger.database import Database
from callsheet.ledger.learned_limits import LearnedLimits
from callsheet.ledger.records import Claim, JobOrder

log = logging.getLogger(__name__)


class Leases(LearnedLimits):
    """Leases of jobs and batches, renewed until they are given back; they run on real time."""

    def __init__(self, database: Database, clock: Clock, holder: claims.Holder) -> None:
        super().__init__(database, clock)
        self.owner = holder.owner
        self._holder = holder

    async def claim(self, order: JobOrder) -> Claim:
        """The job of an order (new ones are planned), and whether it is ours: among all that ask, one gets it.

        It is ours when nobody holds it, its holder is dead or its lease is over, or we hold it already. A job whose
        dead holder was sending comes back `unknown`, one that only held a slot comes back `planned`.
        """
        return await self._write(claims.claim, order, self._holder)

    async def take(self, key: str) -> Claim:
        """Like `claim`, for a job that is there already and for nobody's wish: it says what is still to be collected.

        LedgerError when there is no such job.
        """
        return await self._write(claims.take, key, self._holder)

    async def release(self, key: str) -> None:
        """Give a job's lease back before its end; a slot and money that were held are free again."""
        await self._write(claims.release, self._holder, key)

    async def enter_run(self, batch: str) -> None:
        """Put on record that a run of ours works on the batch, until `leave_run`, `aclose`, or our end."""
        await self._write(runs.enter, batch, self.owner, self._holder.until())

    async def leave_run(self, batch: str) -> bool:
        """Put on record that we do not work on the batch any more; True when no other run does."""
        return await self._write(runs.leave, batch, self.owner)

    async def _give_back(self) -> None:
        await self._write(claims.release, self._holder)
        await self._db.write(lambda c: runs.leave_all(c, self.owner))

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(self._holder.lease_s / 3)
            try:
                await self._db.write(lambda c: claims.renew(c, self._holder))
                await self._db.write(lambda c: runs.renew(c, self.owner, self._holder.until()))
            except LedgerError:
                log.warning("The ledger's leases could not be renewed; trying again", exc_info=True)
