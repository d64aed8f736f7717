"""The survey: what ledger and archive know of a batch before anything is made.

Other batches of the archive are asked as well: what is paid for there is not paid here. Edition and mode are part of a
key, so only batches that share both are asked. What their parts of the catalogue list is enough to know where files
are. What is under way or in doubt is in no part: a batch that another ledger works on, or has left unfinished, says so
by its claim or its marker. The sidecar of the shot is what is believed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from callsheet.archive import layout
from callsheet.archive.claim import read_claim
from callsheet.archive.layout import SIDECAR, folder_name, shot_folder
from callsheet.archive.marker import read_success
from callsheet.archive.parts import Part, list_parts, part_files, read_parts
from callsheet.archive.sidecar_io import list_paid_parts
from callsheet.archive.store import Store
from callsheet.batch.witness import hear_archive
from callsheet.concurrency import gather_bounded
from callsheet.context.context import RunContext
from callsheet.errors import ArchiveError
from callsheet.ledger import Job, JobState, Ledger, Want
from callsheet.ledger.owners import is_dead
from callsheet.plan import Known, ShotPlan, clip_keys
from callsheet.plan.parents import with_parents
from callsheet.plan.requests import take_keys
from callsheet.providers.routing import scope_of
from callsheet.reconcile.rebuild_ledger import Rebuilt, Records, enter_sidecars, read_believed
from callsheet.shots import Asset, Batch, Shot
from callsheet.steps.parents import read_clips, read_takes

# Listings of single shots' folders at the same time.
_AT_ONCE = 32
log = logging.getLogger(__name__)

_CLAIMS_AT_ONCE = 16


def records_of(run: RunContext) -> Records:
    """Return the records of a run's batch."""
    resources, mode = run.resources, run.batch.mode
    return Records(resources.ledger, resources.store, {mode: scope_of(resources.settings, mode, resources.catalogue)})


async def survey(records: Records, batch: Batch, shots: Sequence[Shot], *, part: bool = False) -> Known:
    """Return what is known of the batch.

    Jobs that the shots would need or had, assets, files that are really there.

    What the archive proves and the ledger did not know is entered first.
    As a `part` of the batch the shots are looked up one by one, so that it costs as much as they are. Nothing is known
    then of the batch's other shots, and only those files are looked for that the ledger has on record: the run that
    opened the batch has heard the archive.
    """
    ledger, store = records.ledger, records.store
    ids = [shot.id for shot in shots]
    stats = {} if part else await store.stats(f"{batch.prefix}/")
    doubts = await hear_archive(records, batch, shots, stats)
    taken = await read_takes(ledger, batch, shots)
    wants = await (ledger.wants_among(batch.name, ids) if part else ledger.wants_of(batch.name))
    earlier = await _earlier(ledger, wants)
    known = replace(taken, earlier=earlier)
    jobs = (await read_clips(ledger, batch, with_parents(batch, shots, known), known)).jobs
    by_shot: dict[str, list[Asset]] = defaultdict(list)
    for asset in await (ledger.assets_among(batch.name, ids) if part else ledger.assets_of(batch.name)):
        by_shot[asset.shot].append(asset)
    names = await _files_of(store, batch, by_shot) if part else list(stats)
    return replace(
        known,
        jobs=jobs,
        assets={shot: tuple(assets) for shot, assets in by_shot.items()},
        files=frozenset(name.removeprefix(f"{batch.prefix}/") for name in names),
        abandoned=frozenset(key for key, job in jobs.items() if _is_abandoned(job)),
        shots=tuple(ids if part else await ledger.ever_of(batch.name)),
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
    """Return whether all that is left of a shot waits for a person's choice of takes."""
    if item.shot.select != "approve":
        return False
    left = [action for action in item.actions if action.what != "reuse"]
    return (bool(left) or item.choice == "approval") and all(
        action.what == "waiting" and action.job_key is None for action in left
    )


def unpaid_keys(batch: Batch, shots: Sequence[Shot], known: Known) -> frozenset[str]:
    """Return the keys of what the shots may ask for and nothing certain is known of.

    What another batch has under way or in doubt may have ended there.
    """
    filled = with_parents(batch, shots, known)
    takes = [key for shot in filled for key in take_keys(batch, shot)]
    clips = [key for shot in filled if shot.motion_prompt for _, key in clip_keys(batch, shot, known)]
    jobs = {key: known.jobs.get(key) for key in (*takes, *clips)}
    return frozenset(key for key, job in jobs.items() if job is None or _is_uncertain(job, batch))


def _is_uncertain(job: Job, batch: Batch) -> bool:
    elsewhere = job.batch != batch.name and job.state in (JobState.SUBMITTED, JobState.UNKNOWN)
    return elsewhere or job.state is JobState.PLANNED


async def hear_other_batches(records: Records, batch: Batch, keys: Collection[str], cache: Path) -> bool:
    """Enter what other batches of the archive have of these keys.

    False when they have nothing. `cache` is the folder for copies of a bucket's parts of the catalogue.
    """
    if not keys:
        return False
    ledger, store, rebuilt = records.ledger, records.store, Rebuilt()
    found = await _find_shots(store, batch, keys, cache)
    for other, shots in (await _find_unfinished(store, batch, ledger.identity)).items():
        found[other] = None if shots is None else shots | (found.get(other) or set())
    for other, wanted in found.items():
        names = await store.stats(f"{other.prefix}/")
        listed = filter(layout.is_sidecar, names) if wanted is None else _name_sidecars(other, wanted)
        believed = await read_believed(store, [name for name in listed if name in names], rebuilt)
        believed = [one for one in believed if any(part.job_key in keys for part in list_paid_parts(one))]
        if not believed:
            continue
        scopes = {other.mode: records.scopes[batch.mode]}
        await enter_sidecars(replace(records, scopes=scopes), believed, names, rebuilt)
    if rebuilt.jobs or rebuilt.assets:
        log.info("Other batches told the ledger of %d jobs and %d files", rebuilt.jobs, rebuilt.assets)
    return rebuilt.jobs > 0


def _name_sidecars(batch: Batch, shots: Collection[str]) -> list[str]:
    return [layout.sidecar_name(batch.prefix, shot) for shot in shots]


async def _find_unfinished(store: Store, batch: Batch, ledger: str) -> dict[Batch, set[str] | None]:
    """Return the shots that other ledgers' batches have left open (None: any).

    Of a batch that is worked on now, or whose run was killed, any shot may be.
    """
    others = [Batch(name, batch.edition, batch.mode) for name in await store.top_folders() if name != batch.campaign]
    found = await gather_bounded(_CLAIMS_AT_ONCE, (_list_open(store, other, ledger) for other in others))
    return {other: shots for other, shots in zip(others, found, strict=True) if shots is None or shots}


async def _list_open(store: Store, batch: Batch, ledger: str) -> set[str] | None:
    try:
        claim, marker = await read_claim(store, batch), await read_success(store, batch.prefix)
    except ArchiveError as error:
        log.warning("What batch %s has under way is not known: %s", batch.name, error)
        return set()
    if claim is not None:
        return set() if claim.ledger == ledger else None
    return set(marker.unfinished) if marker is not None and marker.ledger != ledger else set()


async def _find_shots(store: Store, batch: Batch, keys: Collection[str], cache: Path) -> dict[Batch, set[str] | None]:
    """Return the shots of other batches whose takes or clips have these keys."""
    parts = [part for part in (await list_parts(store))[0] if _may_share(part, batch)]
    async with part_files(store, parts, cache) as local:
        where = pl.col("job_key").is_in(sorted(keys))
        found, unreadable = await asyncio.to_thread(read_parts, local.files, where, ("batch", "shot"))
    for name, why in {**local.failed, **unreadable}.items():
        log.warning("%s/%s cannot be read (%s): what it lists of other batches is not known.", store.uri, name, why)
    shots = defaultdict[Batch, set[str]](set)
    for name, shot in found.iter_rows():
        if (other := Batch.parse(name)) is not None:
            shots[other].add(shot)
    return dict(shots)


def _may_share(part: Part, batch: Batch) -> bool:
    other = Batch.parse(part.batch)
    alike = other is not None and (other.edition, other.mode) == (batch.edition, batch.mode)
    return alike and part.batch != batch.name
