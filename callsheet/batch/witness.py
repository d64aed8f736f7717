"""The archive as the second witness.

What it proves of a batch is entered in a ledger that does not know it. A ledger may be lost, restored from an old copy,
or another one than the batch was made with. Before anything is paid for, the batch's listing is compared with it. Only
sidecars of shots that would be paid for, or that the ledger has never heard of, are read; of a batch that is done
nothing is.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from callsheet.archive import layout
from callsheet.archive.parts import list_parts, part_files, read_parts
from callsheet.archive.sidecar import Sidecar
from callsheet.archive.store import Stat, Store
from callsheet.errors import CallsheetError, SettingsError
from callsheet.ledger import Job, JobState, Ledger
from callsheet.plan import Known, Plan, UnexplainedFile, clip_keys, frames_wanted
from callsheet.plan.extensions import count_steps
from callsheet.plan.parents import with_parents
from callsheet.plan.requests import take_keys
from callsheet.reconcile.rebuild_ledger import Rebuilt, Records, enter_sidecars, read_believed
from callsheet.reconcile.rebuild_sidecar import Remembered, sidecar_from
from callsheet.reconcile.sidecar_check import check
from callsheet.shots import Batch, Shot
from callsheet.steps.parents import read_clips, read_takes

log = logging.getLogger(__name__)

_PAID_FILE = re.compile(r"(take-\d+|clip)-(?:\d+-)?([0-9a-f]{12})\.\w+")
_TOLD = 10


@dataclass(frozen=True, slots=True)
class Archived:
    """What an archive lists of a batch.

    Sidecars and paid files by the folder of their shot.
    """

    root: str
    sidecars: Mapping[str, str]
    files: Mapping[str, tuple[str, ...]]


async def hear_archive(
    records: Records, batch: Batch, shots: Sequence[Shot], names: Mapping[str, Stat]
) -> tuple[UnexplainedFile, ...]:
    """Enter what the archive proves of the batch and the ledger does not know.

    What stays unexplained is returned.

    `names` is the listing of the batch.
    """
    ledger, store = records.ledger, records.store
    there = _archived(batch, names)
    if not there.sidecars and not there.files:
        return ()
    open_shots = {layout.folder_name(shot.id): shot.id for shot in await _unsettled(ledger, batch, shots, there)}
    known = {layout.folder_name(shot): shot for shot in await ledger.ever_of(batch.name)}
    strange = sorted((there.sidecars.keys() | there.files.keys()) - known.keys() - open_shots.keys())
    folders = [*open_shots, *strange]
    rebuilt = Rebuilt()
    wanted = [there.sidecars[folder] for folder in folders if folder in there.sidecars]
    believed = await read_believed(store, wanted, rebuilt)
    await enter_sidecars(records, believed, names, rebuilt)
    if left := await _unexplained(ledger, batch, there, folders, open_shots):
        lost = await _from_catalogue(store, batch, left)
        await enter_sidecars(records, lost, names, rebuilt)
        left = await _unexplained(ledger, batch, there, folders, open_shots)
    if rebuilt.jobs or rebuilt.assets:
        log.info("The archive told the ledger of %d jobs and %d files", rebuilt.jobs, rebuilt.assets)
    refused = {one.name: one.why for one in rebuilt.refused}
    told = await ledger.wants_among(batch.name, list(open_shots.values()))
    return tuple(_doubts(open_shots, {want.shot for want in told}, there, left, refused))


async def enter_catalogue(records: Records, batch: Batch, names: Mapping[str, Stat], rebuilt: Rebuilt) -> None:
    """Enter paid files that only the catalogue's parts explain."""
    there = _archived(batch, names)
    if left := await _unexplained(records.ledger, batch, there, list(there.files), {}):
        lost = await _from_catalogue(records.store, batch, left)
        await enter_sidecars(records, lost, names, rebuilt)


async def unexplained_files(ledger: Ledger, batch: Batch, names: Mapping[str, Stat]) -> list[str]:
    """Return the names of paid files of the batch that the ledger does not know."""
    there = _archived(batch, names)
    left = await _unexplained(ledger, batch, there, list(there.files), {})
    return [f"{there.root}{folder}/{file}" for folder, files in left.items() for file in files]


def check_proved(plan: Plan, known: Known, wants: Callable[[str], bool], *, free: bool) -> None:
    """Raise SettingsError when a live run would pay for what the archive may have."""
    if plan.batch.mode != "live" or free:
        return
    doubts = [doubt for doubt in doubts_of(plan, known) if wants(doubt.shot)]
    if doubts:
        raise SettingsError(
            "The archive has what may be what this run would pay for, and nothing explains it:\n"
            + "\n".join(f"{doubt.name}: {doubt.why}" for doubt in doubts[:_TOLD])
            + (f"\n... and {len(doubts) - _TOLD} more" if len(doubts) > _TOLD else "")
            + "\nNothing was sent. Restore the sidecars; or go on without: `callsheet ledger rebuild --batch "
            f"{plan.batch.name} --take-over` puts on record that these files are not what is asked for now."
        )


def doubts_of(plan: Plan, known: Known) -> list[UnexplainedFile]:
    """Return the doubts about what the plan would pay for."""
    sent = {(item.shot.id, action.slot) for item in plan.shots for action in item.actions if action.sent}
    slots = {(shot, "clip" if slot.startswith("clip") else slot) for shot, slot in sent}
    shots = {shot for shot, _ in sent}
    return [one for one in known.doubts if ((one.shot, one.slot) in slots if one.slot else one.shot in shots)]


def _archived(batch: Batch, names: Mapping[str, Stat]) -> Archived:
    sidecars, files = dict[str, str](), defaultdict[str, list[str]](list)
    root = f"{batch.prefix}/shots/"
    for name in names:
        folder, _, file = name.removeprefix(root).partition("/")
        if not name.startswith(root) or "/" in file:
            continue
        if file == layout.SIDECAR:
            sidecars[folder] = name
        elif _PAID_FILE.fullmatch(file):
            files[folder].append(file)
    return Archived(root, sidecars, {folder: tuple(each) for folder, each in files.items()})


async def _unsettled(ledger: Ledger, batch: Batch, shots: Sequence[Shot], there: Archived) -> list[Shot]:
    """Return the shots of which the ledger lacks something.

    Or has what is not in their folder. What ended badly here may have been made by another ledger since, and so may
    what was lost.
    """
    pictures = await read_takes(ledger, batch, shots)
    takes, filled = pictures.jobs, with_parents(batch, shots, pictures)
    keys = {shot.id: take_keys(batch, shot) for shot in filled}
    known = await read_clips(ledger, batch, filled, pictures)
    videos = known.jobs
    clips = {
        shot.id: [key for _, key in clip_keys(batch, shot, known)] if shot.motion_prompt else [] for shot in filled
    }

    def is_unsettled(shot: Shot) -> bool:
        files = {_hash_of(name) for name in there.files.get(layout.folder_name(shot.id), ())}
        settled = [key for key in clips[shot.id] if _is_settled(videos.get(key), files)]
        wanted = frames_wanted(shot) * (count_steps(shot) + shot.clips)
        lacks_clips = shot.motion_prompt is not None and len(settled) < wanted
        return lacks_clips or not all(_is_settled(takes.get(key), files) for key in keys[shot.id])

    return [shot for shot in shots if is_unsettled(shot)]


def _is_settled(job: Job | None, files: Collection[str]) -> bool:
    """Return whether the ledger has what was paid for.

    It is one of the `files` of its shot's folder, by their hashes.
    """
    if job is None or job.sha256 is None:
        return False
    return job.state is JobState.FINISHED or (job.state is JobState.STORED and job.sha256[:12] in files)


async def _unexplained(
    ledger: Ledger, batch: Batch, there: Archived, folders: Sequence[str], open_shots: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return the paid files by folder that the ledger does not know.

    It knows them neither as files nor as what a job gave.
    """
    files = {folder: there.files[folder] for folder in folders if folder in there.files}
    if not files:
        return {}
    shots = {layout.folder_name(shot): shot for shot in await ledger.ever_of(batch.name)} | dict(open_shots)
    ids = [shots[folder] for folder in files if folder in shots]
    # What a person has declared to be nothing that is asked for is on record by its folder (steps/take_over.py).
    assets = await ledger.assets_among(batch.name, list({*ids, *files}))
    on_record = {(layout.folder_name(one.shot), one.name) for one in assets}
    jobs = await ledger.jobs(want.job_key for want in await ledger.wants_among(batch.name, ids))
    hashes = {job.sha256[:12] for job in jobs.values() if job.sha256}
    left = {
        folder: [name for name in some if (folder, name) not in on_record and _hash_of(name) not in hashes]
        for folder, some in files.items()
    }
    return {folder: some for folder, some in left.items() if some}


def _hash_of(name: str) -> str:
    found = _PAID_FILE.fullmatch(name)
    return found[2] if found else ""


async def _from_catalogue(store: Store, batch: Batch, folders: Collection[str]) -> list[Sidecar]:
    """Return sidecars made of the catalogue's rows about the shots in these folders."""
    rows = defaultdict[str, list[Mapping[str, Any]]](list)
    for row in await _rows(store, batch):
        if isinstance(row["shot"], str) and layout.folder_name(row["shot"]) in folders:
            rows[row["shot"]].append(row)
    made = (_of_rows(batch, shot, some) for shot, some in rows.items())
    return [one for one in made if one]


async def _rows(store: Store, batch: Batch) -> list[dict[str, Any]]:
    parts = [part for part in (await list_parts(store))[0] if part.batch == batch.name]
    async with part_files(store, parts, None) as local:
        found, _ = await asyncio.to_thread(read_parts, local.files)
    return [row for row in found.rows(named=True) if row["batch"] == batch.name]


def _of_rows(batch: Batch, shot: str, rows: Sequence[Mapping[str, Any]]) -> Sidecar | None:
    try:
        made = sidecar_from(Remembered(batch, shot, None, (), {}, (), rows), done=False, updated=datetime.now(UTC))
        if made is not None:
            check(layout.sidecar_name(batch.prefix, shot), made)
    except (CallsheetError, ValueError, KeyError, TypeError) as error:
        log.warning("What the catalogue tells of shot %r was not believed: %s", shot, error)
        return None
    return made


def _doubts(
    open_shots: Mapping[str, str],
    told: Collection[str],
    there: Archived,
    left: Mapping[str, Sequence[str]],
    refused: Mapping[str, str],
) -> list[UnexplainedFile]:
    found: list[UnexplainedFile] = []
    for folder, shot in open_shots.items():
        sidecar = there.sidecars.get(folder, "")
        if sidecar in refused and shot not in told:
            found.append(UnexplainedFile(shot, sidecar, f"It cannot be believed: {refused[sidecar]}"))
        for name in left.get(folder, ()):
            slot = name.rpartition("-")[0] if name.startswith("take-") else "clip"
            why = "Neither this ledger nor a sidecar nor the catalogue tells what was asked for it."
            found.append(UnexplainedFile(shot, f"{there.root}{folder}/{name}", why, slot))
    return found
