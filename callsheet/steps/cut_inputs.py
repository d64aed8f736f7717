"""The files that finish cuts.

Archived once for the batch, before the cuts, and had from there later.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path

from callsheet.archive import layout
from callsheet.archive.store import StoredFile, about_file
from callsheet.context.context import RunContext
from callsheet.errors import ArchiveDenied, ArchiveError, ManifestError, MediaError
from callsheet.files import digest_file
from callsheet.shots import Finish, Reference
from callsheet.sources import Places, read_bytes, refusal, split_sheet


def files_of(finish: Finish) -> Mapping[str, Reference]:
    """Return the files of a finish, by the names of its fields."""
    given = ((field.name, getattr(finish, field.name)) for field in fields(finish))
    return {name: value for name, value in given if isinstance(value, Reference)}


def archived_hashes(run: RunContext) -> Iterator[str]:
    """Return the hashes of all that the archive has of this batch.

    As far as this process knows: these files may leave the spool.
    """
    yield from (asset.sha256 for assets in run.state.assets.values() for asset in assets.values())
    yield from (file.sha256 for work in run.state.work.values() for file in files_of(work.shot.finish).values())


async def archive_inputs(run: RunContext, finish: Finish) -> None:
    """Archive the files of a finish, each once for the batch.

    MediaError for one that is not as it was planned with.
    """
    prefix = run.batch.prefix
    for file in files_of(finish).values():
        name = layout.input_name(prefix, file.sha256, file.mime_type)
        async with run.state.flight(name):
            if name.removeprefix(f"{prefix}/") in run.state.files:
                continue
            if await run.resources.store.stat(name) is None:
                await put_input(run, name, await input_path(run, file))
            run.state.add_file(name.removeprefix(f"{prefix}/"))


async def local_finish(run: RunContext, finish: Finish) -> Finish:
    """Return the same finish with its files on this disk.

    MediaError for one that cannot be had any more.
    """
    paths = {name: await input_path(run, file) for name, file in files_of(finish).items()}
    return replace(finish, **{name: replace(getattr(finish, name), uri=str(path)) for name, path in paths.items()})


async def input_path(run: RunContext, file: Reference) -> Path:
    """Return the file in the spool.

    It was there, comes from the archive, or from where the manifest had it.
    """
    if run.resources.spool.holds(file.sha256, file.size):
        return run.resources.spool.path(file.sha256)
    name = layout.input_name(run.batch.prefix, file.sha256, file.mime_type)
    try:
        return await _from_archive(run, name, file)
    except ArchiveDenied:
        raise
    except ArchiveError as damaged:
        try:
            return await _from_manifest(run, file)
        except MediaError as error:
            raise MediaError(f"{error} The archive's copy is of no use: {damaged}") from None


async def put_input(run: RunContext, name: str, path: Path) -> str:
    """Archive a finishing file under its name and return its URI."""
    batch, digest = run.batch, await asyncio.to_thread(digest_file, path)
    told = about_file(batch.campaign, batch.name, None, name)
    file = StoredFile(name, digest.sha256, digest.md5, digest.size, layout.content_type(name), **told)
    return await run.resources.store.put_file(path, file)


async def _from_archive(run: RunContext, name: str, file: Reference) -> Path:
    if await run.resources.store.stat(name) is None:
        return await _from_manifest(run, file)
    target = run.resources.spool.scratch()
    try:
        await run.resources.store.get_file(name, target, sha256=file.sha256)
    except ArchiveError:
        target.unlink(missing_ok=True)
        raise
    return (await asyncio.to_thread(run.resources.spool.adopt, target)).path


async def _places(run: RunContext) -> Places:
    """Return where finishing files may come from.

    What the batch's manifest may name, and the archive.

    Where the manifest was, the ledger says, never a sidecar.
    """
    settings, batch = run.resources.settings, run.batch
    rows = () if batch.manifest_uri else await run.resources.ledger.batches()
    manifest = batch.manifest_uri or next((r.batch.manifest_uri for r in rows if r.batch.name == batch.name), "")
    manifest = split_sheet(manifest)[0]
    beside = manifest.rpartition("/")[0] if "://" in manifest else str(Path(manifest).parent) if manifest else None
    return Places.of([*settings.input_roots, beside, run.resources.store.uri, settings.font])


async def _from_manifest(run: RunContext, file: Reference) -> Path:
    place = await asyncio.to_thread((await _places(run)).find, file.uri)
    if place is None:
        raise MediaError(f"{refusal(file.uri)} Nothing was cut with it.")
    try:
        data = await asyncio.to_thread(read_bytes, place, file.size)
    except ManifestError as error:
        raise MediaError(
            f"{file.uri} cannot be had any more ({error.problems[0].what}), and {run.resources.store.uri} has no copy "
            "of it. Put it back and run the same command again."
        ) from None
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise MediaError(
            f"{file.uri} has changed since the manifest was read. Nothing was cut with it; run the same command again."
        )
    return (await asyncio.to_thread(run.resources.spool.write, data)).path
