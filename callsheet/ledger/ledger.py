"""The open ledger of one process: jobs, attempts, operations, money and assets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from sqlalchemy import Connection

from callsheet.clock import Clock
from callsheet.decisions import FrameDecision, FramePin
from callsheet.errors import Parked
from callsheet.ledger import (
    batches,
    frame_decisions,
    import_records,
    leases,
    outcomes,
    owners,
    rows,
    select,
    submission,
)
from callsheet.ledger.database import Database
from callsheet.ledger.job_state import JobState
from callsheet.ledger.lessee import Leases
from callsheet.ledger.quota import QuotaLimits, RequestLimits
from callsheet.ledger.records import Attempt, BudgetScope, Decision, Job, JobResult
from callsheet.ledger.spend_window import SpendLimits
from callsheet.shots import Asset, Batch, ShotOutcome

log = logging.getLogger(__name__)


class Ledger(Leases):
    """The ledger: a method's writes are durable when it returns.

    When it raises, it wrote nothing (parking apart: see `begin`). The order for one job: claim, begin, submitting, (the
    request), submitted for videos, finished, stored; `settle` when an attempt gives nothing. Times are those of the
    clock given; leases run on real time.
    """

    def __init__(self, database: Database, clock: Clock, holder: leases.Holder, identity: str) -> None:
        super().__init__(database, clock, holder)
        #: Which ledger this is: random hex digits, made with its tables. Copies of its database have the same.
        self.identity = identity
        self._heartbeat = asyncio.create_task(self._renew_leases(), name="ledger-heartbeat")

    @classmethod
    async def open(cls, url: str, *, clock: Clock, owner: str | None = None, lease_s: float = 60) -> Self:
        """Open the ledger of a SQLAlchemy URL, creating or upgrading it as needed.

        The file, its folder and its tables are made. SQLite needs a local disk. LedgerError when it cannot be opened,
        is damaged, or a newer callsheet wrote it.
        """
        database = await Database.open(url)
        identity = await database.read(select.identity)
        return cls(database, clock, leases.Holder(owner or owners.new_owner(), lease_s), identity)

    async def aclose(self) -> None:
        """Give all leases back and close.

        A request still under way is `unknown` to whoever claims its job next.
        """
        self._heartbeat.cancel()
        with suppress(asyncio.CancelledError):
            await self._heartbeat
        try:
            await self._give_back()
        finally:
            owners.forget(self.owner)
            await self._db.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def open_batch(
        self,
        batch: Batch,
        shots: Sequence[tuple[str, int]],
        request: Mapping[str, Any] | None = None,
        begun: Mapping[str, Any] | None = None,
    ) -> None:
        """Bring the batch in line with its manifest's shots; see `StartRecord`."""
        started = None if request is None else batches.StartRecord(request, begun or {})
        await self._write(batches.open_batch, batch, shots, started)

    async def enter_batch(self, batch: Batch) -> bool:
        """Insert a batch that only the archive knows of; False when it is on record.

        One that is on record stays as it is.
        """
        return await self._write(import_records.enter_batch, batch)

    async def enter_shot(self, records: import_records.ShotRecords) -> import_records.Entered:
        """Insert the rows that a sidecar states for a shot, in one step.

        Rows that are there already win. The batch comes first.
        """
        return await self._db.write(lambda c: import_records.enter_shot(c, records))

    async def begin(
        self,
        key: str,
        *,
        estimate: Decimal,
        scope: str,
        limits: RequestLimits | None = None,
        budget: Decimal | None = None,
        budget_scope: BudgetScope = "campaign",
        batch: str | None = None,
        output: str | None = None,
        credential: str | None = None,
        spend: SpendLimits | None = None,
    ) -> Attempt:
        """Reserve money and quota for one request, and write the intent to send it.

        The job is `submitting` before any POST. When the minute is full the job is `reserved` and `Attempt.not_before`
        set: call `submitting` then. Raises BudgetParked or QuotaParked after parking the job (planned, lease given
        back). `scope` names what the quota belongs to; `batch` pays (default: the first to want it); `output` is the
        gs:// folder that videos go to; `credential` names the key or project that the request is sent with, never the
        key itself; `spend` bounds what the scope spends in ten minutes and a month.
        """
        given = QuotaLimits(limits.rpm, limits.rpd) if limits else QuotaLimits()
        terms = submission.Terms(
            estimate, scope, given, budget, budget_scope, batch, output, credential, spend or SpendLimits()
        )
        got = await self._write(submission.begin, key, terms, self.owner)
        if isinstance(got, Parked):
            raise got
        return got

    async def submitting(self, attempt: Attempt) -> None:
        """Wait for the attempt's slot and write the intent to send it.

        Returns when the POST may be sent. Raises QuotaParked. A caller that came too late for its slot waits for the
        next one that keeps the minute's limit.
        """
        while True:
            got = await self._write(submission.submitting, attempt, self.owner)
            if got is None:
                return
            if isinstance(got, Parked):
                raise got
            await self._clock.sleep((got - self._clock.now()).total_seconds())

    async def mark_sent(self, attempt: Attempt, moment: datetime) -> None:
        """Count the attempt from the moment (clock time) its sending began, if later."""
        await self._write(submission.mark_sent, attempt.key, attempt.n, moment)

    async def park(self, key: str, why: Parked) -> None:
        """Record that a job of ours waits for a quota or a budget.

        One that was sent stays as it is.
        """
        await self._write(submission.park, key, why, self.owner)

    async def submitted(self, attempt: Attempt, operation: str) -> Job:
        """Record the operation's name: from now on a restart polls."""
        return await self._write(submission.submitted, attempt, operation)

    async def record_result(self, key: str, result: JobResult, attempt: Attempt | None = None) -> Job:
        """Record the bytes' hash and the price.

        A late second answer is paid for too; the first result stays.
        """
        n = attempt.n if attempt else None
        return await self._write(outcomes.finish, key, result, n)

    async def answered(self, key: str, result: JobResult, attempt: Attempt) -> Job:
        """Record a result that is no file, but lies in `details`, and store the job."""

        def record(connection: Connection, now: datetime) -> Job:
            outcomes.finish(connection, now, key, result, attempt.n)
            return rows.store_files(connection, now, key, ())

        return await self._write(record)

    async def record_files(self, key: str, assets: Sequence[Asset]) -> Job:
        """Record the job's archived files and that it is stored, both or neither."""
        return await self._write(rows.store_files, key, assets)

    async def add_assets(self, assets: Sequence[Asset]) -> None:
        """Add files that cost nothing (cuts, posters, copies of shared takes)."""
        await self._db.write(lambda c: rows.add_files(c, assets))

    async def settle(
        self,
        attempt: Attempt,
        state: JobState,
        *,
        kind: str,
        reason: str,
        code: str = "",
        status: int | None = None,
        usd: Decimal | None = None,
    ) -> Job:
        """Record that an attempt gave nothing, and the state the job is in by that.

        The job becomes planned (may be tried again), blocked, failed, expired or unknown. `usd` is what it cost; None
        is nothing, but for UNKNOWN, where the money stays reserved until it is resolved.
        """
        why = outcomes.Reason(kind, reason, code, status)
        end = outcomes.AttemptEnd(state, why, usd)
        return await self._write(outcomes.settle, attempt.key, attempt.n, end)

    async def fail(
        self,
        key: str,
        state: JobState,
        *,
        kind: str,
        reason: str,
        code: str = "",
        usd: Decimal | None = None,
        doubt: Decimal = Decimal(0),
        details: Mapping[str, Any] | None = None,
    ) -> Job:
        """Record that the operation of a job's current attempt gave no video.

        It was filtered, failed, expired or cancelled. `doubt` is what of `usd` only the bill can tell, `details` what
        the provider said of it.
        """
        why = outcomes.Reason(kind, reason, code, details=details)
        return await self._write(outcomes.settle, key, None, outcomes.AttemptEnd(state, why, usd, doubt))

    async def reopen(self, key: str, reason: str = "") -> Job:
        """Plan an ended job again (bytes lost, or another try wanted).

        Attempts and spending stay on record.
        """
        return await self._write(outcomes.reopen, key, reason)

    async def look_again(self, key: str) -> Job:
        """Submit an expired job again for a free look; LedgerError without operation."""
        return await self._write(outcomes.look_again, key)

    async def resolve(
        self,
        key: str,
        decision: Decision,
        operation: str | None = None,
        *,
        by: str = "",
        usd: Decimal | None = None,
        request_id: str = "",
    ) -> Job:
        """Decide about an unknown job: "resubmit", "adopt" or "drop".

        "resubmit" it, "adopt" an operation that was found, or "drop" it. Resubmitting and dropping count the lost
        attempt as spent, unless `usd` says what it cost. `request_id` is the provider's, of the submission adopted.
        """
        resolution = outcomes.Resolution(decision, operation, usd, by, request_id)
        return await self._write(outcomes.resolve, key, resolution)

    async def enter_bill(self, key: str, usd: Decimal, by: str) -> Job:
        """Record what the bill says that a decided job's requests in doubt cost."""
        return await self._write(outcomes.enter_bill, key, usd, by)

    async def set_shot(
        self, batch: str, shot: str, state: ShotOutcome, *, step: str = "", kind: str = "", reason: str = ""
    ) -> None:
        """Record the state of a shot, at which step, and why."""
        await self._write(batches.set_shot, batch, shot, batches.ShotStatus(state, step, kind, reason))

    async def decide_frames(
        self, batch: str, decisions: Sequence[FrameDecision]
    ) -> tuple[frame_decisions.Recorded, ...]:
        """Record a person's decisions about takes, and the states they lead to.

        Each decision is recorded once; all of them or none. DecisionError when one would take back an approval whose
        clip is sent.
        """
        return await self._write(frame_decisions.decide, batch, decisions)

    async def pin_frame(self, pin: FramePin, takes: Mapping[int, str]) -> FramePin:
        """Record a choice of frame, and return the pin that counts.

        `takes` are the shot's takes, sha256 by number. The pin returned is another one when somebody was first; to be
        called before the clip is claimed.
        """
        return await self._write(frame_decisions.pin, pin, takes)

    async def set_shots(self, batch: str, shots: Sequence[str], state: ShotOutcome) -> None:
        """Record one state for many shots, in one write and without a reason."""

        def all_of_them(connection: Connection, now: datetime) -> None:
            for shot in shots:
                batches.set_shot(connection, now, batch, shot, batches.ShotStatus(state))

        if shots:
            await self._write(all_of_them)
