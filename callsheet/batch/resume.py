"""Carrying on: which shots of a batch can be finished for nothing.

Also how their batch is asked for again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from callsheet.batch.prepare import PreparedRun, prepare_run
from callsheet.batch.request import RunRequest
from callsheet.decisions import APPROVAL
from callsheet.errors import CannotContinue, ParentAwaited, ParentStuck, UsageError
from callsheet.ledger import TERMINAL, BatchRow, Job, JobState, Ledger, ShotRow, Want
from callsheet.settings import Settings
from callsheet.shots import Mode, ShotOutcome

_PAID = frozenset({JobState.FINISHED, JobState.STORED})
_OPEN = frozenset({ShotOutcome.PENDING, ShotOutcome.PARKED, ShotOutcome.WAITING})
# Steps that failed for want of a file which the ledger has had since.
_WANTING = frozenset({"images", "clips"})


@dataclass(frozen=True, slots=True)
class Resumable:
    """Shots that can be finished for nothing, if their batch can be asked for again."""

    row: BatchRow
    shots: tuple[str, ...]

    @property
    def batch(self) -> str:
        """Return the name of the batch."""
        return self.row.batch.name

    async def prepare(self, settings: Settings) -> PreparedRun:
        """Ask for the batch as before, limited to these shots and to what is free.

        CannotContinue when it cannot be asked the same.
        """
        asked = await prepare_again(self.row, settings)
        known = {shot.id for shot in asked.shots}
        return asked.with_request(replace(asked.request, only=tuple(shot for shot in self.shots if shot in known)))


def resumable_shots(shots: Iterable[ShotRow], wants: Iterable[Want], jobs: Mapping[str, Job]) -> list[str]:
    """Return the ids of shots that are not done although all their paid work is over.

    The rest costs nothing.
    """
    wanted: dict[str, list[Job]] = defaultdict(list)
    for want in wants:
        if want.job_key in jobs:
            wanted[want.shot].append(jobs[want.job_key])
    return [row.shot for row in shots if _can_go_on(row, wanted[row.shot])]


def _can_go_on(row: ShotRow, jobs: Sequence[Job]) -> bool:
    if not jobs or any(job.state not in TERMINAL | _PAID for job in jobs):
        return False
    if row.reason_kind in (ParentAwaited.__name__, ParentStuck.__name__):
        return False  # what it is to be made of is not there, and what is made of it then is paid for
    if row.reason_kind == APPROVAL and all(job.kind == "image" for job in jobs):
        return False  # a person is to decide, or the clip that was approved is to be paid for
    if row.state is ShotOutcome.FAILED:
        return row.step in _WANTING and all(job.state in _PAID for job in jobs)
    return row.state in _OPEN


async def resumable(ledger: Ledger, mode: Mode, batch: str | None = None) -> list[Resumable]:
    """Return what can be carried on in the batches of a mode, or in one of them."""
    found = []
    for row in await ledger.batches():
        if row.batch.mode != mode or batch not in (None, row.batch.name):
            continue
        name = row.batch.name
        jobs = {job.key: job for job in await ledger.jobs_of(name)}
        shots = resumable_shots(await ledger.shots_of(name), await ledger.wants_of(name), jobs)
        if shots:
            found.append(Resumable(row, tuple(shots)))
    return found


async def continuation(row: BatchRow, settings: Settings) -> PreparedRun:
    """Return the batch as it was asked for, to be gone on with and paid for.

    CannotContinue when it cannot be asked the same.
    """
    asked = await prepare_again(row, settings)
    return asked.with_request(replace(asked.request, free=False))


async def prepare_again(row: BatchRow, settings: Settings) -> PreparedRun:
    """Return the free request of a batch while it and its manifest are as they were.

    CannotContinue, with the reason, when they are not.
    """
    batch = row.batch
    by_hand = f"Run its manifest ({batch.manifest_uri}) to go on with it."
    request = request_again(row)
    if request is None:
        raise CannotContinue(f"It is not on record how the batch was asked for. {by_hand}")
    try:
        asked = await prepare_run(request, settings)
    except UsageError as error:
        first = str(error).splitlines()[0]
        raise CannotContinue(f"Its manifest cannot be read any more: {first}. {by_hand}") from None
    if asked.manifest.sha256 != batch.manifest_sha256 or asked.batch.name != batch.name:
        raise CannotContinue(f"Its manifest has changed since. {by_hand}")
    return asked


def request_again(row: BatchRow) -> RunRequest | None:
    """Return the free request that the ledger's record of a batch stands for.

    None when there is no whole one.
    """
    asked: Mapping[str, Any] | None = row.request
    if asked is None or not row.batch.manifest_uri:
        return None
    try:
        budget = asked.get("budget_usd")
        return RunRequest(
            manifest=row.batch.manifest_uri,
            live=row.batch.mode == "live",
            edition=row.batch.edition,
            campaign=asked.get("campaign"),
            variables={str(name): str(value) for name, value in dict(asked.get("variables") or {}).items()},
            budget_usd=None if budget is None else Decimal(str(budget)),
            wait=bool(asked.get("wait")),
            free=True,
            on_bad_row="skip" if asked.get("on_bad_row") == "skip" else "stop",
        )
    except (InvalidOperation, TypeError, ValueError):
        return None
