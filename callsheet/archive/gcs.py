"""The archive in Google Cloud Storage, by a write rule that ended with the right bytes under every fault tried.

Look; write create-only; look again and accept only the right size and md5, whatever the write itself said; delete
exactly the generation that is wrong and write again; a 403 is final. gcsfs alone reports truncated and flipped
uploads as success and its own good write as "exists" when the reply is lost (measured 2026-11-21).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from tenacity.wait import wait_base

from callsheet.archive import durable
from callsheet.archive.bucket import CHUNK, Bucket, Doubt, Found, Unauthenticated
from callsheet.archive.store import Stat, confined
from callsheet.errors import ArchiveConflict, ArchiveDenied, ArchiveError

# Measured best on loopback: 8 writes at once, 4 when they are large (2026-11-21).
_WRITES = 8
_LARGE_WRITES = 4
_LARGE = 8 * 1024 * 1024
# Below this, one multipart request; from here on, chunks of a resumable upload.
_RESUMABLE = 5 * 1024 * 1024
_ATTEMPTS = 4
# All custom metadata of an object together (docs.cloud.google.com/storage/docs/metadata, checked 2026-11-21: 8 KiB).
_MAX_METADATA = 8 * 1024

_T = TypeVar("_T")


class GcsStore:
    """A Store in a bucket, under an optional prefix. `wait` is the pause between attempts (tenacity)."""

    def __init__(
        self, bucket: str, prefix: str = "", *, emulator_host: str | None = None, wait: wait_base | None = None
    ) -> None:
        self._bucket = Bucket(bucket, emulator_host=emulator_host)
        self._prefix = f"{confined(prefix)}/" if prefix else ""
        self.uri = f"gs://{bucket}/{prefix}".rstrip("/")
        self._wait = wait or wait_random_exponential(multiplier=0.5, max=15)
        self._writes = asyncio.Semaphore(_WRITES)
        self._large_writes = asyncio.Semaphore(_LARGE_WRITES)

    async def put_file(
        self,
        source: Path,
        name: str,
        *,
        sha256: str,
        md5: str,
        size: int,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Store a file once; see Store.put_file."""
        key = self._key(name)
        expected = Found(size, md5, "", sha256)
        about = _bounded({"sha256": sha256, **(metadata or {})})

        async def write() -> None:
            if size < _RESUMABLE:
                await self._bucket.upload(key, await _read(source), content_type, about, "create")
            else:
                await self._bucket.upload_file(key, source, content_type, about)

        async with self._writes:
            if size <= _LARGE:
                await self._create(key, expected, write)
            else:
                async with self._large_writes:
                    await self._create(key, expected, write)
        return f"{self.uri}/{name}"

    async def put_bytes(self, name: str, data: bytes, content_type: str) -> str:
        """Replace a document in one request; see Store.put_bytes."""
        key = self._key(name)
        expected = Found(len(data), durable.md5_of_bytes(data), "")

        async def write() -> None:
            doubt = await _doubt(lambda: self._bucket.upload(key, data, content_type, {}, "overwrite"))
            if not _same(await self._bucket.find(key), expected):
                raise doubt or Doubt("the document does not have the bytes that were sent")

        async with self._writes:
            await self._retried(key, write)
        return f"{self.uri}/{name}"

    async def get_file(self, name: str, target: Path, *, sha256: str) -> None:
        """Fetch a file, verified; see Store.get_file."""
        key = self._key(name)
        target.parent.mkdir(parents=True, exist_ok=True)

        async def fetch() -> None:
            part = durable.unfinished_beside(target)
            with durable.discarded_on_failure(part):
                await self._bucket.download(key, part)
                found = (await asyncio.to_thread(durable.digests, part)).sha256
                if found != sha256:
                    raise Doubt(f"the bytes received have the sha256 {found}, not {sha256}")
                part.replace(target)

        if await self.stat(name) is None:
            raise self._absent(name)
        await self._retried(key, fetch)

    async def read_bytes(self, name: str, limit: int) -> bytes:
        """Read a document of at most `limit` bytes; see Store.read_bytes."""
        key = self._key(name)

        async def read() -> bytes:
            found = await self._bucket.find(key)
            if found is None:
                raise self._absent(name)
            if found.size > limit:
                raise ArchiveError(
                    f"{self.uri}/{name} is larger than the {limit} bytes allowed for it. It was not read; look at it."
                )
            data = await self._bucket.read(key, found.generation)
            if len(data) != found.size or (found.md5 and durable.md5_of_bytes(data) != found.md5):
                raise Doubt("the bytes received are not those of the object")
            return data

        return await self._retried(key, read)

    async def stat(self, name: str) -> Stat | None:
        """Size and md5 in one request; see Store.stat."""
        key = self._key(name)
        found = await self._retried(key, lambda: self._bucket.find(key))
        return Stat(found.size, found.md5) if found else None

    async def list(self, prefix: str) -> tuple[str, ...]:
        """Names by prefix, page by page; see Store.list."""
        return tuple(await self.stats(prefix))

    async def stats(self, prefix: str) -> dict[str, Stat]:
        """Names with size and md5, one request per thousand; see Store.stats."""
        found: dict[str, Stat] = {}
        token: str | None = None
        while True:
            page, token = await self._retried(prefix, partial(self._page, prefix, token))
            found |= page
            if not token:
                return dict(sorted(found.items()))

    async def digests(self, name: str) -> durable.Digests:
        """Hash an object, piece by piece; see Store.digests."""
        key = self._key(name)
        found = await self._retried(key, lambda: self._bucket.find(key))
        if found is None:
            raise self._absent(name)
        hashing = durable.Hashing()
        for start in range(0, found.size, CHUNK):
            piece = partial(self._bucket.read_range, key, found.generation, start, min(start + CHUNK, found.size))
            data = await self._retried(key, piece)
            await asyncio.to_thread(hashing.add, data)
        return hashing.digests()

    async def remove(self, name: str, found: Stat) -> bool:
        """Delete exactly the generation that is there as found; see Store.remove."""
        key = self._key(name)

        async def delete() -> bool:
            there = await self._bucket.find(key)
            if there is None or Stat(there.size, there.md5) != found:
                return False
            await self._bucket.delete(key, there.generation)
            return True

        return await self._retried(key, delete)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._bucket.aclose()

    async def _page(self, prefix: str, token: str | None) -> tuple[dict[str, Stat], str | None]:
        page, following = await self._bucket.page(self._prefix + prefix, token)
        # Objects whose name ends in a slash are how the Cloud console shows empty folders: not files.
        files = {key.removeprefix(self._prefix): found for key, found in page.items() if not key.endswith("/")}
        return {name: Stat(found.size, found.md5) for name, found in files.items()}, following

    async def _create(self, key: str, expected: Found, write: Callable[[], Awaitable[None]]) -> None:
        async def settle() -> None:
            found = await self._bucket.find(key)
            if found is None:
                doubt = await _doubt(write)
                found = await self._bucket.find(key)
                if found is None:
                    raise doubt or Doubt("the object is not there after the upload")
            if _same(found, expected):
                return
            if found.sha256 != expected.sha256:
                raise self._conflict(key, found, expected)
            # It claims to be this very file and is not: a damaged upload, by us now or by a run that died.
            await self._bucket.delete(key, found.generation)
            raise Doubt(f"the stored object was damaged ({found.size} bytes, md5 {found.md5}) and was deleted")

        await self._retried(key, settle)

    async def _retried(self, key: str, action: Callable[[], Awaitable[_T]]) -> _T:
        refused = 0
        try:
            async for attempt in AsyncRetrying(
                stop=stop_after_attempt(_ATTEMPTS), wait=self._wait, retry=retry_if_exception_type(Doubt), reraise=True
            ):
                with attempt:
                    try:
                        return await action()
                    except Unauthenticated as error:
                        refused += 1
                        if refused > 1:
                            raise self._unauthenticated(key, error) from error
                        raise
        except Doubt as doubt:
            raise ArchiveError(
                f"gs://{self._bucket.name}/{key}: gave up after {_ATTEMPTS} attempts; the last one: {doubt}. "
                "Local files are untouched; run again."
            ) from doubt
        raise AssertionError("tenacity ends with a result or an exception")

    def _key(self, name: str) -> str:
        return confined(self._prefix + confined(name))

    def _absent(self, name: str) -> ArchiveError:
        return ArchiveError(f"{self.uri}/{name} is not in the archive. Nothing was fetched.")

    def _unauthenticated(self, key: str, error: Unauthenticated) -> ArchiveDenied:
        return ArchiveDenied(
            f"gs://{self._bucket.name}/{key}: the credentials were refused twice: {error}. Run `gcloud auth "
            "application-default login` (or check GOOGLE_APPLICATION_CREDENTIALS), then run again."
        )

    def _conflict(self, key: str, found: Found, expected: Found) -> ArchiveConflict:
        return ArchiveConflict(
            f"gs://{self._bucket.name}/{key} exists with other bytes ({found.size} bytes, md5 {found.md5}; to be "
            f"stored: {expected.size} bytes, md5 {expected.md5}). It was left as it is. Move it away if it is damaged, "
            "then run again."
        )


def _same(found: Found | None, expected: Found) -> bool:
    return found is not None and (found.size, found.md5) == (expected.size, expected.md5)


async def _read(source: Path) -> bytes:
    try:
        return await asyncio.to_thread(source.read_bytes)
    except OSError as error:
        raise ArchiveError(
            f"{source} could not be read: {error.strerror}. Nothing was stored; see to the file, then run again."
        ) from error


async def _doubt(write: Callable[[], Awaitable[None]]) -> Doubt | None:
    """What a write left open, None when it said that all is well: either way the object has to be looked at."""
    try:
        await write()
    except Doubt as doubt:
        return doubt
    return None


def _bounded(metadata: Mapping[str, str]) -> dict[str, str]:
    """As many entries as fit into an object's custom metadata, in order."""
    kept: dict[str, str] = {}
    room = _MAX_METADATA
    for name, value in metadata.items():
        room -= len(name.encode()) + len(value.encode())
        if room < 0:
            break
        kept[name] = value
    return kept
