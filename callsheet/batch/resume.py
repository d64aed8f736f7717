"""Carrying on: which shots of a batch can be finished for nothing, and how their batch is asked for again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from callsheet.batch.default_models import as_begun
from callsheet.batch.open import read_request
from callsheet.batch.request import RunRequest
from callsheet.decisions import APPROVAL
from callsheet.errors import UsageError
from callsheet.ledger import TERMINAL, BatchRow, Job, JobState, Ledger, ShotRow, Want
from callsheet.manifest import Manifest
from callsheet.models import load_catalogue
from callsheet.settings import Settings
from callsheet.shots import Mode, ShotOutcome

_PAID = frozenset({JobState.FINISHED, JobState.STORED})
_OPEN = frozenset({ShotOutcome.PENDING, ShotOutcome.PARKED, ShotOutcome.WAITING})
# Steps that failed for want of a file which the ledger has had since.
_WANTING = frozenset({"images", "clips"})


@dataclass(frozen=True, slots=True)
class Resumable:
    """Shots of a batch that can be finished for nothing: with the request to do it, or the reason why it cannot be."""

    batch: str
    shots: tuple[str, ...]
    request: RunRequest | None
    why_not: str = ""


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
    if row.reason_kind == APPROVAL and all(job.kind == "image" for job in jobs):
        return False  # a person is to decide, or the clip that was approved is to be paid for
    if row.state is ShotOutcome.FAILED:
        return row.step in _WANTING and all(job.state in _PAID for job in jobs)
    return row.state in _OPEN


async def resumable(ledger: Ledger, settings: Settings, mode: Mode, batch: str | None = None) -> list[Resumable]:
    """Return what can be carried on in the batches of a mode, or in one of them."""
    found = []
    for row in await ledger.batches():
        if row.batch.mode != mode or batch not in (None, row.batch.name):
            continue
        name = row.batch.name
        jobs = {job.key: job for job in await ledger.jobs_of(name)}
        shots = resumable_shots(await ledger.shots_of(name), await ledger.wants_of(name), jobs)
        if shots:
            found.append(_asked_again(row, tuple(shots), settings))
    return found


def _asked_again(row: BatchRow, shots: tuple[str, ...], settings: Settings) -> Resumable:
    """Ask for the batch as before, limited to these shots and to what is free.

    Its manifest must be the same.
    """
    manifest, request, why_not = _as_before(row, settings)
    if manifest is None or request is None:
        return Resumable(row.batch.name, shots, None, why_not)
    known = {shot.id for shot in manifest.shots}
    return Resumable(row.batch.name, shots, replace(request, only=tuple(shot for shot in shots if shot in known)))


def continuation(row: BatchRow, settings: Settings) -> tuple[RunRequest | None, str]:
    """Return the batch as it was asked for, to be gone on with and paid for.

    Or None, and why it cannot be asked the same.
    """
    _, request, why_not = _as_before(row, settings)
    return (replace(request, free=False) if request else None), why_not


def _as_before(row: BatchRow, settings: Settings) -> tuple[Manifest | None, RunRequest | None, str]:
    """Return the manifest and the free request of a batch while both are as they were; else why they are not."""
    batch = row.batch
    by_hand = f"Run its manifest ({batch.manifest_uri}) to go on with it."
    request = request_again(row)
    if request is None:
        return None, None, f"It is not on record how the batch was asked for. {by_hand}"
    try:
        begun = as_begun(load_catalogue(settings.catalogue), row.request)
        manifest, _, now = read_request(request, settings, begun)
    except UsageError as error:
        first = str(error).splitlines()[0]
        return None, None, f"Its manifest cannot be read any more: {first}. {by_hand}"
    if manifest.sha256 != batch.manifest_sha256 or now.name != batch.name:
        return None, None, f"Its manifest has changed since. {by_hand}"
    return manifest, request, ""


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
        )
    except (InvalidOperation, TypeError, ValueError):
        return None
