"""Questions that the ledger answers, changing nothing.

Answers contain what was committed before the question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from rapidfuzz import process

from callsheet.decisions import FrameDecision, FramePin
from callsheet.errors import BadImage, SettingsError, UsageError
from callsheet.ledger import batches, frame_decisions, model_usage, quota_usage, rows, select
from callsheet.ledger.database import Database
from callsheet.ledger.job_state import TERMINAL, JobState
from callsheet.ledger.records import AttemptRecord, BatchRow, Job, ShotRow, SpendRow, Want
from callsheet.shots import Asset, Mode, ShotOutcome


class Answers:
    """The reading half of a ledger."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def job(self, key: str) -> Job:
        """Return the job; LedgerError when there is none."""
        return await self._db.read(lambda c: rows.read_job(c, key))

    async def jobs(self, keys: Iterable[str]) -> dict[str, Job]:
        """Return the jobs that exist among `keys`."""
        return await self._db.read(lambda c: select.jobs_by_key(c, keys))

    async def jobs_of(self, batch: str) -> list[Job]:
        """Return the jobs that the batch's shots want, whoever paid for them."""
        return await self._db.read(lambda c: select.jobs_of(c, batch))

    async def edits_of(self, batch: str, shot: str) -> list[Job]:
        """Return the pictures that shots of the batch want made of a shot, oldest first."""
        return await self._db.read(lambda c: select.edits_of(c, batch, shot))

    async def open_jobs(self, batch: str) -> list[Job]:
        """Return the parked, running and unknown jobs that the batch wants or has sent.

        They come with the batch's own shots.
        """
        return await self._db.read(lambda c: select.open_jobs(c, batch))

    async def wants_of(self, batch: str) -> list[Want]:
        """Return which job fills which slot of the batch's shots."""
        return await self._db.read(lambda c: select.wants_of(c, batch))

    async def unresolved(self) -> list[Job]:
        """Return the jobs that wait for `resolve`."""
        return await self._db.read(lambda c: select.jobs_in(c, [JobState.UNKNOWN]))

    async def find_kept_parts(self) -> list[Job]:
        """Return the jobs that failed with part of a picture, in every batch.

        Only a person has them made again.
        """
        failed = await self._db.read(lambda c: select.jobs_in(c, [JobState.FAILED]))
        return [job for job in failed if job.reason_kind == BadImage.__name__]

    async def find_parked(self) -> list[Job]:
        """Return the jobs that wait for a quota (`parked_until`) or a budget (None)."""
        return await self._db.read(select.select_parked)

    async def under_way(self) -> list[Job]:
        """Return the jobs that were sent and have not ended, in every batch.

        These are what `collect` looks after.
        """
        live = [state for state in JobState if state not in TERMINAL | {JobState.PLANNED, JobState.RESERVED}]
        return await self._db.read(lambda c: select.jobs_in(c, live))

    async def expired(self) -> list[Job]:
        """Return the jobs whose operation or file is reported gone, in every batch."""
        return await self._db.read(lambda c: select.jobs_in(c, [JobState.EXPIRED]))

    async def assets_of(self, batch: str, shot: str | None = None) -> list[Asset]:
        """Return the files of a batch, or of one of its shots."""
        return await self._db.read(lambda c: rows.assets_of(c, batch, shot))

    async def assets_among(self, batch: str, shots: Sequence[str]) -> list[Asset]:
        """Return the files of some of a batch's shots."""
        return await self._db.read(lambda c: rows.assets_among(c, batch, shots))

    async def others_wanting(self, batch: str, keys: Iterable[str]) -> dict[str, list[str]]:
        """Return the other batches that want these jobs, by job."""
        return await self._db.read(lambda c: select.others_wanting(c, batch, keys))

    async def wants_among(self, batch: str, shots: Sequence[str]) -> list[Want]:
        """Return which job fills which slot of some of a batch's shots."""
        return await self._db.read(lambda c: select.wants_among(c, batch, shots))

    async def archived_among(self, batch: str, hashes: Iterable[str]) -> set[str]:
        """Return those of the hashes that archived files of the batch have."""
        return await self._db.read(lambda c: rows.archived_among(c, batch, hashes))

    async def copies_of(self, sha256: str) -> list[Asset]:
        """Return the files with these bytes, of every batch, oldest first."""
        return await self._db.read(lambda c: rows.copies_of(c, sha256))

    async def find_paid_files(self) -> list[Asset]:
        """Return the files that paid jobs gave, of every batch."""
        return await self._db.read(rows.select_paid_files)

    async def find_stored(self) -> list[Job]:
        """Return the jobs whose files should be in the archive, in every batch."""
        return await self._db.read(lambda c: select.jobs_in(c, [JobState.STORED]))

    async def batch_named(self, name: str, so: str = "", *, error: type[UsageError] = SettingsError) -> BatchRow:
        """Return the row of this batch.

        Raises `error` when the ledger has none of that name; `so` says what was not done, as a sentence.
        """
        rows = {row.batch.name: row for row in await self._db.read(batches.all_batches)}
        if name in rows:
            return rows[name]
        near = process.extractOne(name[:200], list(rows), processor=str.casefold, score_cutoff=60)
        told = [
            f"The ledger has no batch {name[:200]!r}.",
            so,
            f"Did you mean {near[0]}?" if near else "",
            f"Its batches: {', '.join(list(rows)[:20]) or 'none'}.",
            "`callsheet ledger rebuild` enters what an archive has.",
        ]
        raise error(" ".join(part for part in told if part))

    async def shots_of(self, batch: str) -> list[ShotRow]:
        """Return the rows of the batch's shots, in the manifest's order."""
        return await self._db.read(lambda c: batches.shots_of(c, batch))

    async def shots_among(self, batch: str, shots: Sequence[str]) -> list[ShotRow]:
        """Return some of the shots that the batch's manifest has."""
        return await self._db.read(lambda c: batches.shots_among(c, batch, shots))

    async def ever_of(self, batch: str) -> list[str]:
        """Return every shot the batch ever had, also those no longer in its manifest."""
        return await self._db.read(lambda c: batches.ever_of(c, batch))

    async def frame_decisions(self, batch: str, shots: Sequence[str]) -> dict[str, tuple[FrameDecision, ...]]:
        """Return people's decisions about these shots, by shot in order of time."""
        return await self._db.read(lambda c: frame_decisions.decisions_of(c, batch, shots))

    async def frame_pins(self, batch: str, shots: Sequence[str]) -> dict[str, tuple[FramePin, ...]]:
        """Return the frames chosen for these shots, by shot in order of time."""
        return await self._db.read(lambda c: frame_decisions.pins_of(c, batch, shots))

    async def use_of(self, scopes: Mapping[str, str], now: datetime) -> dict[str, model_usage.Use]:
        """Return how much of each model's quota is used at `now`.

        By all that share its scope.
        """
        return await self._db.read(lambda c: model_usage.use_of(c, scopes, now))

    async def find_closed_models(self, scope: str) -> dict[str, datetime]:
        """Return the models of a scope that were refused for good, and since when.

        The model "" stands for every one.
        """
        return await self._db.read(lambda c: model_usage.select_closed_models(c, scope))

    async def learned_rows(self, scope: str) -> list[model_usage.LimitRow]:
        """Return the limits that 429 replies stated for the models of a scope."""
        return await self._db.read(lambda c: model_usage.learned_rows(c, scope))

    async def list_spending(self, scope: str, since: datetime, now: datetime) -> list[tuple[datetime, Decimal]]:
        """Return time and USD of each attempt in a scope since then, the latest first.

        Attempts are those that were sent or have a slot.
        """
        return await self._db.read(lambda c: list(model_usage.Spent(c, scope, now).each(since)))

    async def sum_spending(self, scope: str, since: datetime, now: datetime) -> Decimal:
        """Return the USD of attempts in a scope since then.

        Attempts are those that were sent or have a slot.
        """
        return await self._db.read(lambda c: model_usage.Spent(c, scope, now).total(since))

    async def learned_spend(self, scope: str, now: datetime) -> tuple[Decimal | None, datetime | None]:
        """Return the limits of a scope's money that 429 replies stated.

        USD in ten minutes, and until when to wait.
        """
        return await self._db.read(lambda c: quota_usage.learned_spend(c, scope, now))

    async def models_today(self, scope: str, now: datetime) -> list[str]:
        """Return the models that were sent requests today in a scope."""
        return await self._db.read(lambda c: model_usage.models_today(c, scope, now))

    async def counts(self, batch: str) -> dict[ShotOutcome, int]:
        """Count the batch's shots in each state."""
        return await self._db.read(lambda c: batches.counts(c, batch))

    async def batches(self) -> list[BatchRow]:
        """Return every batch with its money, the one updated last first."""
        return await self._db.read(batches.all_batches)

    async def spend(self, *, campaign: str | None = None, mode: Mode | None = None) -> list[SpendRow]:
        """Return money by campaign, mode, model and Pacific day.

        It is of attempts that were sent or have a slot.
        """
        return await self._db.read(lambda c: select.spend(c, campaign, mode))

    async def sum_spent(self, batch: str) -> Decimal:
        """Return what the batch's own submissions have cost (USD)."""
        return await self._db.read(lambda c: select.sum_spent(c, batch))

    async def sum_held(self, batch: str) -> Decimal:
        """Return what is reserved for the batch's own open submissions (USD).

        Those are the ones not settled yet.
        """
        return await self._db.read(lambda c: select.sum_held(c, batch))

    async def sum_doubts(self) -> dict[str, Decimal]:
        """Return the USD of each batch's requests whose cost only the bill tells."""
        return await self._db.read(select.sum_doubts)

    async def doubts_on(self, keys: Iterable[str]) -> dict[str, Decimal]:
        """Return the USD in doubt of those of the jobs that have some."""
        return await self._db.read(lambda c: select.doubts_on(c, keys))

    async def jobs_with_doubts(self) -> list[Job]:
        """Return the decided jobs of whose cost a part is in doubt, in every batch."""
        return await self._db.read(select.jobs_with_doubts)

    async def attempts_of(self, batch: str) -> list[AttemptRecord]:
        """Return the attempts that the batch paid for, in order of time."""
        return await self._db.read(lambda c: select.attempts_of(c, batch))

    async def attempts_on(self, key: str) -> list[AttemptRecord]:
        """Return the attempts of one job, first to last."""
        return await self._db.read(lambda c: select.attempts_on(c, key))
