"""The survey: what ledger and archive already know of a batch, read before anything is made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from callsheet.archive.layout import SIDECAR, folder_name
from callsheet.archive.store import Store
from callsheet.ledger import Job, JobState, Ledger
from callsheet.ledger.owners import is_dead
from callsheet.orders import take_order
from callsheet.plan import Known, ShotPlan, clip_keys
from callsheet.shots import Asset, Batch, Shot


async def survey(ledger: Ledger, store: Store, batch: Batch, shots: Sequence[Shot]) -> Known:
    """What is known of the batch: jobs that the shots would need or had, assets, files that are really there."""
    keys = [take_order(batch, shot, take).key for shot in shots for take in range(1, shot.takes + 1)]
    jobs = await ledger.jobs(keys)
    pictures = Known(jobs=jobs)
    clips = [key for shot in shots if shot.motion_prompt for _, key in clip_keys(batch, shot, pictures)]
    by_shot: dict[str, list[Asset]] = defaultdict(list)
    for asset in await ledger.assets_of(batch.name):
        by_shot[asset.shot].append(asset)
    names = await store.list(f"{batch.prefix}/")
    jobs = {**jobs, **await ledger.jobs(clips)}
    return Known(
        jobs=jobs,
        assets={shot: tuple(assets) for shot, assets in by_shot.items()},
        files=frozenset(name.removeprefix(f"{batch.prefix}/") for name in names),
        earlier=await _earlier(ledger, batch),
        abandoned=frozenset(key for key, job in jobs.items() if _is_abandoned(job)),
        shots=tuple(await ledger.ever_of(batch.name)),
    )


async def _earlier(ledger: Ledger, batch: Batch) -> dict[tuple[str, str], Job]:
    """The job that filled each slot of the batch's shots when it ran last."""
    wants = await ledger.wants_of(batch.name)
    jobs = await ledger.jobs(want.job_key for want in wants)
    return {(want.shot, want.slot): jobs[want.job_key] for want in wants if want.job_key in jobs}


def _is_abandoned(job: Job) -> bool:
    """Whether the process that was sending the job is gone. Leases run on real time."""
    if job.state is not JobState.SUBMITTING:
        return False
    expired = job.lease_until is None or job.lease_until <= datetime.now(UTC)
    return job.owner is None or expired or is_dead(job.owner)


def is_whole(item: ShotPlan, files: Collection[str]) -> bool:
    """Whether nothing is left to do for a shot: all that it wants is in the archive, and its sidecar too.

    `files` are the names in the batch's folder.
    """
    return item.complete and f"shots/{folder_name(item.shot.id)}/{SIDECAR}" in files
