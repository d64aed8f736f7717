"""What the ledger can be asked. Answers hold what was committed before the question; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from callsheet.decisions import FrameDecision, FramePin
from callsheet.errors import BadImage
from callsheet.ledger import (
    batches,
    closed,
    files,
    frame_decisions,
    frame_pins,
    model_usage,
    quota_usage,
    rows,
    select,
    spent,
)
from callsheet.ledger.database import Database
from callsheet.ledger.job_state import TERMINAL, JobState
from callsheet.ledger.records import AttemptRecord, BatchRow, Job, ShotRow, SpendRow, Want
from callsheet.shots import Asset, Mode, ShotState


class Answers:
    """The reading half of a ledger."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def job(self, key: str) -> Job:
        """The job; LedgerError when there is none."""
        return await self._db.read(lambda c: rows.read_job(c, key))

    async def jobs(self, keys: Iterable[str]) -> dict[str, Job]:
        """The jobs that exist among `keys`."""
        return await self._db.read(lambda c: select.jobs_by_key(c, keys))

    async def jobs_of(self, batch: str) -> list[Job]:
        """The jobs that the batch's shots want, whoever paid for them."""
        return await self._db.read(lambda c: select.jobs_of(c, batch))

    async def open_jobs(self, batch: str) -> list[Job]:
        """The jobs that are parked, under way or in doubt and that the batch wants or has sent, by its own shots."""
        return await self._db.read(lambda c: select.open_jobs(c, batch))

    async def wants_of(self, batch: str) -> list[Want]:
        """Which job fills which slot of the batch's shots."""
        return await self._db.read(lambda c: select.wants_of(c, batch))

    async def unresolved(self) -> list[Job]:
        """The jobs that wait for `resolve`."""
        return await self._db.read(lambda c: select.jobs_in(c, [JobState.UNKNOWN]))

    async def held_as_evidence(self) -> list[Job]:
        """The jobs that failed with part of a picture, in every batch: only a person has them asked for again."""
        failed = await self._db.read(lambda c: select.jobs_in(c, [JobState.FAILED]))
        return [job for job in failed if job.reason_kind == BadImage.__name__]

    async def parked(self) -> list[Job]:
        """The jobs that wait for a quota (`parked_until`) or a budget (None)."""
        return await self._db.read(select.parked)

    async def under_way(self) -> list[Job]:
        """The jobs that were sent and have not ended, in every batch: what `collect` looks after."""
        live = [state for state in JobState if state not in TERMINAL | {JobState.PLANNED, JobState.RESERVED}]
        return await self._db.read(lambda c: select.jobs_in(c, live))

    async def expired(self) -> list[Job]:
        """The jobs whose operation or file was said to be gone, in every batch."""
        return await self._db.read(lambda c: select.jobs_in(c, [JobState.EXPIRED]))

    async def assets_of(self, batch: str, shot: str | None = None) -> list[Asset]:
        """The files of a batch, or of one of its shots."""
        return await self._db.read(lambda c: files.assets_of(c, batch, shot))

    async def assets_among(self, batch: str, shots: Sequence[str]) -> list[Asset]:
        """The files of some of a batch's shots."""
        return await self._db.read(lambda c: files.assets_among(c, batch, shots))

    async def wants_among(self, batch: str, shots: Sequence[str]) -> list[Want]:
        """Which job fills which slot of some of a batch's shots."""
        return await self._db.read(lambda c: select.wants_among(c, batch, shots))

    async def archived_among(self, batch: str, hashes: Iterable[str]) -> set[str]:
        """Those of the hashes that files of the batch in the archive have."""
        return await self._db.read(lambda c: files.archived_among(c, batch, hashes))

    async def copies_of(self, sha256: str) -> list[Asset]:
        """The files with these bytes, in whatever batches, oldest first."""
        return await self._db.read(lambda c: files.copies_of(c, sha256))

    async def paid_files(self) -> list[Asset]:
        """The files of every batch that paid jobs gave."""
        return await self._db.read(files.paid_files)

    async def stored_jobs(self) -> list[Job]:
        """The jobs whose files should be in the archive, in every batch."""
        return await self._db.read(lambda c: select.jobs_in(c, [JobState.STORED]))

    async def shots_of(self, batch: str) -> list[ShotRow]:
        """How the batch's shots stand, in the manifest's order."""
        return await self._db.read(lambda c: batches.shots_of(c, batch))

    async def ever_of(self, batch: str) -> list[str]:
        """Every shot that the batch ever had, also those that its manifest has no more."""
        return await self._db.read(lambda c: batches.ever_of(c, batch))

    async def frame_decisions(self, batch: str, shots: Sequence[str]) -> dict[str, tuple[FrameDecision, ...]]:
        """What people decided about these shots of the batch, by shot and in order of time."""
        return await self._db.read(lambda c: frame_decisions.decisions_of(c, batch, shots))

    async def frame_pins(self, batch: str, shots: Sequence[str]) -> dict[str, tuple[FramePin, ...]]:
        """Which frames were chosen for these shots of the batch, by shot and in order of time."""
        return await self._db.read(lambda c: frame_pins.pins_of(c, batch, shots))

    async def use_of(self, scopes: Mapping[str, str], now: datetime) -> dict[str, model_usage.Use]:
        """How much of each model's quota is used at `now` by all that share its scope."""
        return await self._db.read(lambda c: model_usage.use_of(c, scopes, now))

    async def closed_models(self, scope: str) -> dict[str, datetime]:
        """The models of a scope ("": every one) that the provider refused for good, and since when."""
        return await self._db.read(lambda c: closed.closed_models(c, scope))

    async def learned_rows(self, scope: str) -> list[closed.LimitRow]:
        """What 429 replies said of the models of a scope."""
        return await self._db.read(lambda c: closed.learned_rows(c, scope))

    async def spent_since(self, scope: str, since: datetime, now: datetime) -> list[tuple[datetime, Decimal]]:
        """Time and USD of what was sent in a scope since then, or holds a slot, the latest first."""
        return await self._db.read(lambda c: list(spent.Spent(c, scope, now).each(since)))

    async def spent_total(self, scope: str, since: datetime, now: datetime) -> Decimal:
        """USD of what was sent in a scope since then, or holds a slot."""
        return await self._db.read(lambda c: spent.Spent(c, scope, now).total(since))

    async def learned_spend(self, scope: str, now: datetime) -> tuple[Decimal | None, datetime | None]:
        """What 429 replies said of a scope's money: USD in ten minutes, and until when to wait."""
        return await self._db.read(lambda c: quota_usage.learned_spend(c, scope, now))

    async def models_today(self, scope: str, now: datetime) -> list[str]:
        """The models that were asked today in a scope."""
        return await self._db.read(lambda c: closed.models_today(c, scope, now))

    async def counts(self, batch: str) -> dict[ShotState, int]:
        """How many of the batch's shots are in each state."""
        return await self._db.read(lambda c: batches.counts(c, batch))

    async def batches(self) -> list[BatchRow]:
        """Every batch with its money, the one touched last first."""
        return await self._db.read(batches.all_batches)

    async def spend(self, *, campaign: str | None = None, mode: Mode | None = None) -> list[SpendRow]:
        """Money by campaign, mode, model and Pacific day, of what was sent or holds a slot."""
        return await self._db.read(lambda c: select.spend(c, campaign, mode))

    async def spent_on_batch(self, batch: str) -> Decimal:
        """What the batch's own submissions have cost (USD)."""
        return await self._db.read(lambda c: select.spent_on_batch(c, batch))

    async def held_on_batch(self, batch: str) -> Decimal:
        """What is held for the batch's own submissions that are not settled yet (USD)."""
        return await self._db.read(lambda c: select.held_on_batch(c, batch))

    async def attempts_of(self, batch: str) -> list[AttemptRecord]:
        """The attempts that the batch paid for, in order of time."""
        return await self._db.read(lambda c: select.attempts_of(c, batch))

    async def attempts_on(self, key: str) -> list[AttemptRecord]:
        """The attempts of one job, first to last."""
        return await self._db.read(lambda c: select.attempts_on(c, key))
