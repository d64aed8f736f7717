"""From the spool to the archive.

A file gets its name in the shot's folder, and its paid job becomes `stored`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from callsheet.archive import layout
from callsheet.archive.spool import Spooled
from callsheet.archive.store import StoredFile, about_file
from callsheet.context.context import RunContext
from callsheet.errors import ArchiveLost, LedgerError, MediaError
from callsheet.jobs.output_bucket import output_of, remove_output
from callsheet.ledger import Job, JobState
from callsheet.ledger.records import OTHERS
from callsheet.media.input_pictures import prepare_picture
from callsheet.media.stills import NOT_TAKEN, as_png
from callsheet.providers.protocol import InputImage
from callsheet.shots import Asset, AssetKind, Batch, ParentPicture, Reference, Shot
from callsheet.sources import read_bytes

log = logging.getLogger(__name__)


def describe_file(asset: Asset, name: str) -> StoredFile:
    """Return an archived file as a store takes it, under this name in the archive."""
    told = about_file(asset.batch.partition(".")[0], asset.batch, asset.shot, asset.name)
    return StoredFile(name, asset.sha256, asset.md5, asset.size, asset.mime_type, **told)


@dataclass(frozen=True, slots=True)
class Deposit:
    """A file to archive.

    Pixels, seconds, the hash of what it was made from, and the job that paid for it. Of a cut also its recipe, and how
    it was made.
    """

    kind: AssetKind
    mime_type: str
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    parent: str | None = None
    job: Job | None = None
    recipe: str | None = None
    details: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class PaidFile:
    """The file that a finished job gave.

    `parent` is the hash of what it was made from.
    """

    kind: AssetKind
    job: Job
    name: str
    parent: str | None = None


async def store_paid_file(run: RunContext, shot: Shot, file: PaidFile) -> Asset:
    """Return the archived file of a finished job in this shot's folder.

    The job is `stored` when it returns.

    A file that is there already, under whatever name, is not written again; one that two shots share is in both
    folders.
    """
    for known in run.state.assets_of(shot):
        if known.kind == file.kind and known.job_key == file.job.key:
            return known
    return await deposit_result(run, shot.id, file)


async def deposit_result(run: RunContext, shot: str, file: PaidFile) -> Asset:
    """Return the same for a shot of which nothing but its id is known.

    The file may be there or not.
    """
    job = file.job
    if not (job.sha256 and job.md5 and job.mime_type and job.size is not None):
        raise LedgerError(f"Job {job.key[:12]} is {job.state} without a result. Look at it with `callsheet status`.")
    if file.kind in ("take", "clip"):
        await _deposit_others(run, shot, job)
    new = Deposit(file.kind, job.mime_type, job.width, job.height, job.duration_s, file.parent, job)
    spooled = Spooled(run.resources.spool.path(job.sha256), job.sha256, job.md5, job.size)
    asset = await _deposit(run, shot, new, spooled, file.name)
    await remove_output(run, job)
    return asset


def others_of(run: RunContext, shot: Shot, made: Asset) -> tuple[Asset, ...]:
    """Return the further pictures or videos of the answer that gave a take or clip.

    They are in the archive.
    """
    return tuple(one for one in run.state.assets_of(shot) if one.kind == "extra" and one.parent == made.sha256)


async def _deposit_others(run: RunContext, shot: str, job: Job) -> None:
    """Archive the further files of a take's or clip's answer, before it.

    Only what is stored is looked at no more.
    """
    number = job.slot.partition("-extend-")[0].rpartition("-")[2]
    for one in (job.details or {}).get(OTHERS, ()):
        if "sha256" not in one:
            continue  # it could not be fetched
        new = Deposit("extra", one["mime_type"], one["width"] or None, one["height"] or None, parent=job.sha256)
        file = Spooled(run.resources.spool.path(one["sha256"]), one["sha256"], one["md5"], one["size"])
        try:
            await _deposit(
                run,
                shot,
                new,
                file,
                layout.extra_name(int(number) if number.isdigit() else 1, file.sha256, new.mime_type),
            )
        except ArchiveLost as error:
            log.warning("A further file of shot %s is lost: %s", shot, error)


async def store_derived_file(
    run: RunContext, shot: Shot, new: Deposit, source: Path, name_of: Callable[[str], str]
) -> Asset:
    """Archive a file that was made here for free, under the name of its hash.

    `source` is moved into the spool.
    """
    file = await asyncio.to_thread(run.resources.spool.adopt, source)
    return await _deposit(run, shot.id, new, file, name_of(file.sha256))


async def _deposit(run: RunContext, shot: str, new: Deposit, file: Spooled, name: str) -> Asset:
    batch = run.batch
    uri = await _put(run, shot, new, file, name)
    asset = Asset(
        kind=new.kind,
        batch=batch.name,
        shot=shot,
        name=name,
        sha256=file.sha256,
        md5=file.md5,
        size=file.size,
        mime_type=new.mime_type,
        uri=uri,
        created=datetime.now(UTC),
        width=new.width,
        height=new.height,
        duration_s=new.duration_s,
        job_key=new.job.key if new.job else None,
        parent=new.parent,
        usd=new.job.spent_usd if new.job else Decimal(0),
        model=new.job.model if new.job else None,
        recipe=new.recipe,
        details=new.details,
    )
    if new.job is not None and new.job.state is JobState.FINISHED:
        await run.resources.ledger.record_files(new.job.key, [asset])
    else:
        await run.resources.ledger.add_assets([asset])
    run.state.add_asset(asset)
    return asset


async def _put(run: RunContext, shot: str, new: Deposit, file: Spooled, name: str) -> str:
    """Return the URI of the archived file.

    Copied by the storage service where it has the bytes already, else uploaded.
    """
    batch, source = run.batch, output_of(new.job) if new.job else None
    target = f"{layout.shot_folder(batch.prefix, shot)}/{name}"
    told = about_file(batch.campaign, batch.name, shot, name)
    stored = StoredFile(target, file.sha256, file.md5, file.size, new.mime_type, **told)
    if source and (uri := await run.resources.store.adopt_file(source, stored)):
        return uri
    return await run.resources.store.put_file(await fetch(run, file.sha256, file.size), stored)


async def fetch(run: RunContext, sha256: str, size: int) -> Path:
    """Return the file with this hash on this disk.

    From the spool, else from wherever the archive has it (free).

    Raises ArchiveLost when neither has it any more.
    """
    if run.resources.spool.holds(sha256, size):
        return run.resources.spool.path(sha256)
    name = await archived(run, sha256)
    if name is None:
        raise ArchiveLost(
            f"The file {sha256[:12]} was made and paid for, but is neither in {run.resources.spool.root} nor in "
            f"{run.resources.store.uri} any more. Restore one of them, or run again with --remake to make and "
            "pay for it anew."
        )
    target = run.resources.spool.scratch()
    await run.resources.store.get_file(name, target, sha256=sha256)
    return (await asyncio.to_thread(run.resources.spool.adopt, target)).path


async def is_lost(run: RunContext, job: Job) -> bool:
    """Return whether a job has a result whose bytes are nowhere any more."""
    if job.sha256 is None or run.resources.spool.holds(job.sha256, job.size or 0):
        return False
    return await archived(run, job.sha256) is None


async def archived(run: RunContext, sha256: str) -> str | None:
    """Return the name of an archived file with these bytes, in whatever batch.

    One that is damaged does not count.
    """
    for asset in await run.resources.ledger.copies_of(sha256):
        if (batch := Batch.parse(asset.batch)) is None:
            continue
        # By its place, not by its URI: an archive may have been moved as a whole.
        name = f"{layout.shot_folder(batch.prefix, asset.shot)}/{asset.name}"
        found = await run.resources.store.stat(name)
        if found is not None and found.size == asset.size and found.md5 in ("", asset.md5):
            return name
    return None


async def read_reference(run: RunContext, reference: Reference, model: str) -> InputImage:
    """Return a picture that the manifest names, as it is sent to a model.

    That is upright, and in a type that the model takes. MediaError when it is not the one that the batch was
    planned with.
    """
    data = await asyncio.to_thread(read_bytes, reference.uri, reference.size)
    if hashlib.sha256(data).hexdigest() != reference.sha256:
        raise MediaError(
            f"{reference.uri} has changed since the manifest was read. Nothing was sent; run the same command again."
        )
    taken = run.resources.catalogue.get(model).mime_types
    return InputImage(*await asyncio.to_thread(prepare_picture, data, taken))


async def read_frame(run: RunContext, asset: Asset | ParentPicture) -> InputImage:
    """Return a take's bytes, to be sent as a frame, or as what a picture is made of.

    As a PNG where Google takes no such picture.
    """
    path = await fetch(run, asset.sha256, asset.size)
    if asset.mime_type in NOT_TAKEN:
        return InputImage(await asyncio.to_thread(as_png, path), "image/png")
    return InputImage(await asyncio.to_thread(path.read_bytes), asset.mime_type)
