"""The catalogue's parts on this disk: a folder's own files, or copies of a bucket's that are kept for the next time."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from callsheet import files as durable
from callsheet.archive.parts import Part
from callsheet.archive.store import Store
from callsheet.errors import ArchiveError

MIB = 1024 * 1024
MAX_PART = 512 * MIB
# The copies of all buckets together; those used longest ago make room.
MAX_CACHE = 512 * MIB
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class PartFiles:
    """Local files of parts by name, in the parts' order, and why others could not be fetched."""

    files: dict[str, Path]
    failed: dict[str, ArchiveError]


@contextlib.asynccontextmanager
async def part_files(store: Store, parts: Sequence[Part], cache: Path | None) -> AsyncIterator[PartFiles]:
    """Have the parts on this disk while the block runs.

    A bucket's parts are copied to the folder `cache`, or to a temporary one, and fetched again only when size or md5
    are not those of the copy. ArchiveError when the folder cannot be written to.
    """
    if "://" not in store.uri:
        yield PartFiles({part.name: Path(store.uri, part.name) for part in parts}, {})
        return
    async with contextlib.AsyncExitStack() as stack:
        folder = cache or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="callsheet-")))
        yield await _copies(store, parts, folder)
        if cache:
            await asyncio.to_thread(_shrink, cache, MAX_CACHE)


async def _copies(store: Store, parts: Sequence[Part], folder: Path) -> PartFiles:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def copy(part: Part) -> Path | ArchiveError:
        async with limit:
            try:
                return await _copy(store, part, folder)
            except OSError as error:
                raise ArchiveError(
                    f"{folder} cannot be written to ({error.strerror}), and copies of the catalogue's parts are kept "
                    "there. Set CALLSHEET_HOME to a folder on a disk with room."
                ) from error
            except ArchiveError as error:
                return error

    tried = dict(zip((part.name for part in parts), await asyncio.gather(*map(copy, parts)), strict=True))
    return PartFiles(
        {name: path for name, path in tried.items() if isinstance(path, Path)},
        {name: error for name, error in tried.items() if isinstance(error, ArchiveError)},
    )


async def _copy(store: Store, part: Part, folder: Path) -> Path:
    # A bucket may not know the md5 of an object that others composed; such a copy serves once.
    told = f"{store.uri}/{part.name}:{part.stat.size}:{part.stat.md5}"
    path = folder / f"{hashlib.sha256(told.encode()).hexdigest()[:40]}.parquet"
    if not await asyncio.to_thread(_is_copy, path, part):
        data = await store.read_bytes(part.name, MAX_PART)
        await asyncio.to_thread(_keep, data, path)
    return path


def _is_copy(path: Path, part: Part) -> bool:
    """Whether the file is what the bucket has; it then counts as just used."""
    with contextlib.suppress(OSError):
        if part.stat.md5 and durable.md5_of_file(path) == part.stat.md5:
            path.touch()
            return True
    return False


def _keep(data: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = durable.unfinished_beside(path)
    with durable.discarded_on_failure(part):
        part.write_bytes(data)
        part.replace(path)


def _shrink(folder: Path, limit: int) -> None:
    """Remove what was used longest ago until the rest is within `limit` bytes. Another process may do the same."""
    copies = []
    for path in folder.glob("*.parquet"):
        with contextlib.suppress(FileNotFoundError):
            copies.append((path.stat().st_mtime, path.stat().st_size, path))
    size = sum(size for _, size, _ in copies)
    for _, freed, path in sorted(copies):
        if size <= limit:
            return
        path.unlink(missing_ok=True)
        size -= freed
