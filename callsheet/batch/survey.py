"""The survey: what ledger and archive already know of a batch, read before anything is made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from callsheet.archive.layout import SIDECAR, folder_name, shot_folder
from callsheet.archive.store import Store
from callsheet.batch.witness import hear_archive
from callsheet.concurrency import gather_bounded
from callsheet.ledger import Job, JobState, Ledger, Want
from callsheet.ledger.owners import is_dead
from callsheet.plan import Known, ShotPlan, clip_keys
from callsheet.plan.frames import is_chosen_by_scores
from callsheet.plan.requests import take_order
from callsheet.providers.scopes import Scopes
from callsheet.shots import Asset, Batch, Shot

# Listings of single shots' folders at the same time.
_AT_ONCE = 32


async def survey(
    ledger: Ledger, store: Store, batch: Batch, shots: Sequence[Shot], scopes: Scopes, *, part: bool = False
) -> Known:
    """Return what is known of the batch.

    Jobs that the shots would need or had, assets, files that are really there.

    What the archive proves and the ledger did not know is entered first; `scopes` says whose quota it used.
    As a `part` of the batch the shots are looked up one by one, so that it costs as much as they are. Nothing is known
    then of the batch's other shots, and only those files are looked for that the ledger has on record: the run that
    opened the batch has heard the archive.
    """
    ids = [shot.id for shot in shots]
    stats = {} if part else await store.stats(f"{batch.prefix}/")
    doubts = await hear_archive(ledger, store, batch, shots, stats, scopes)
    keys = [take_order(batch, shot, take).key for shot in shots for take in range(1, shot.takes + 1)]
    jobs = await ledger.jobs(keys)
    wants = await (ledger.wants_among(batch.name, ids) if part else ledger.wants_of(batch.name))
    earlier = await _earlier(ledger, wants)
    pictures = Known(jobs=jobs, earlier=earlier)
    clips = [key for shot in shots if shot.motion_prompt for _, key in clip_keys(batch, shot, pictures)]
    by_shot: dict[str, list[Asset]] = defaultdict(list)
    for asset in await (ledger.assets_among(batch.name, ids) if part else ledger.assets_of(batch.name)):
        by_shot[asset.shot].append(asset)
    names = await _files_of(store, batch, by_shot) if part else list(stats)
    jobs = {**jobs, **await ledger.jobs(clips)}
    return Known(
        jobs=jobs,
        assets={shot: tuple(assets) for shot, assets in by_shot.items()},
        files=frozenset(name.removeprefix(f"{batch.prefix}/") for name in names),
        earlier=earlier,
        abandoned=frozenset(key for key, job in jobs.items() if _is_abandoned(job)),
        shots=tuple(ids if part else await ledger.ever_of(batch.name)),
        decisions=await ledger.frame_decisions(batch.name, [shot.id for shot in shots if shot.select == "approve"]),
        pins=await ledger.frame_pins(batch.name, [shot.id for shot in shots if is_chosen_by_scores(shot)]),
        doubts=doubts,
    )


async def _files_of(store: Store, batch: Batch, shots: Collection[str]) -> list[str]:
    """Return the names in the folders of some shots of a batch."""
    listings = (store.list(f"{shot_folder(batch.prefix, shot)}/") for shot in shots)
    return [name for names in await gather_bounded(_AT_ONCE, listings) for name in names]


async def _earlier(ledger: Ledger, wants: Sequence[Want]) -> dict[tuple[str, str], Job]:
    """Return the job that filled each slot of the shots when the batch ran last."""
    jobs = await ledger.jobs(want.job_key for want in wants)
    return {(want.shot, want.slot): jobs[want.job_key] for want in wants if want.job_key in jobs}


def _is_abandoned(job: Job) -> bool:
    """Return whether the process that was sending the job is gone.

    Leases run on real time.
    """
    if job.state is not JobState.SUBMITTING:
        return False
    expired = job.lease_until is None or job.lease_until <= datetime.now(UTC)
    return job.owner is None or expired or is_dead(job.owner)


def is_finished(item: ShotPlan, files: Collection[str]) -> bool:
    """Return whether nothing is left to do for a shot.

    All that it wants is in the archive, and its sidecar too.

    `files` are the names in the batch's folder.
    """
    return item.complete and f"shots/{folder_name(item.shot.id)}/{SIDECAR}" in files


def awaits_decision(item: ShotPlan) -> bool:
    """Return whether all that is left of a shot waits for a person to choose among takes that are there."""
    if item.shot.select != "approve":
        return False
    left = [action for action in item.actions if action.what != "reuse"]
    return bool(left) and all(action.what == "waiting" and action.job_key is None for action in left)
