"""The archive in Google Cloud Storage: a Store over a Bucket.

By the rules of gcs/write_rule.py and gcs/fetch.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import logging
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from callsheet import files as durable
from callsheet.archive.numbered import Versions, name_version, newest
from callsheet.archive.store import Stat, StoredFile, confined, disposition, resource
from callsheet.errors import ArchiveConflict, ArchiveError, ArchiveKept
from callsheet.gcs.access import GoogleAccess, RetryLimits
from callsheet.gcs.bucket import Bucket, ObjectInfo
from callsheet.gcs.fetch import Check, Sink, fetch_whole
from callsheet.gcs.upload import BytesContent, Content, FileContent
from callsheet.gcs.write_rule import RESUMABLE, Rewrite, Write

log = logging.getLogger(__name__)

# How often a number that another process took meanwhile is followed by the next.
_NUMBERS_TRIED = 8


class GcsStore:
    """A Store in a bucket, under an optional prefix."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        access: GoogleAccess | None = None,
        patience: RetryLimits | None = None,
    ) -> None:
        self._bucket = Bucket(bucket, access or GoogleAccess(), patience)
        self._prefix = f"{confined(prefix)}/" if prefix else ""
        self.uri = f"gs://{bucket}/{prefix}".rstrip("/")
        self._versions = Versions(self.uri, self._list_objects)

    async def put_file(self, source: Path, file: StoredFile) -> str:
        """Store a file once; see Store.put_file."""
        about = self._describe(file)
        content = FileContent(source, file.size)
        await self._write(content, Write(self._bucket, about, content, file.md5).create)
        return f"{self.uri}/{file.name}"

    def _describe(self, file: StoredFile) -> dict[str, Any]:
        """Describe the object of a file for the storage service."""
        return resource(
            self._build_key(file.name),
            content_type=file.content_type,
            md5=file.md5,
            metadata={"sha256": file.sha256, **(file.metadata or {})},
            headers={"contentDisposition": disposition(file.download_name)} if file.download_name else None,
        )

    async def adopt_file(self, source_uri: str, file: StoredFile) -> str | None:
        """Copy an object here by the storage service; see Store.adopt_file."""
        about = self._describe(file)
        bucket, _, key = source_uri.removeprefix("gs://").partition("/")
        source = Bucket(bucket, self._bucket.access, self._bucket.patience)
        try:
            async with self._bucket.connection.writes:
                copied = await Rewrite((source, key), self._bucket, about, size=file.size, md5=file.md5).create()
        except ArchiveError as error:
            log.warning("%s is uploaded, for it cannot be copied from %s: %s", file.name, source_uri, error)
            return None
        finally:
            await source.aclose()
        return f"{self.uri}/{file.name}" if copied else None

    async def put_bytes(self, name: str, data: bytes, content_type: str) -> str:
        """Replace a document in one request; see Store.put_bytes."""
        content, write = self._prepare_document(name, data, content_type)
        if not self._versions.has_several(name):
            try:
                await self._write(content, write.replace)
            except ArchiveKept:
                if not self._versions.can_follow(name):
                    raise
            else:
                return f"{self.uri}/{name}"
        return f"{self.uri}/{await self._put_version(name, data, content_type)}"

    async def _put_version(self, name: str, data: bytes, content_type: str) -> str:
        """Write a document under its next number, and return that name.

        Nothing is written when the newest one has these bytes.
        """
        for _ in range(_NUMBERS_TRIED):
            versions = await self._versions.of(name)
            last = max(versions, default=0)
            if last and versions[last] == Stat(len(data), durable.md5_of_bytes(data)):
                return name_version(name, last)
            content, write = self._prepare_document(name_version(name, last + 1), data, content_type, only_this=True)
            with contextlib.suppress(ArchiveConflict):  # another process had this number
                await self._write(content, write.create)
                return name_version(name, last + 1)
        raise ArchiveConflict(f"{self.uri}/{name}: other processes write it all the time. Run again when they ended.")

    def _prepare_document(
        self, name: str, data: bytes, content_type: str, *, only_this: bool = False
    ) -> tuple[Content, Write]:
        """Prepare the write of a document.

        With `only_this` it states which bytes it has, so that no others are taken for it.
        """
        # Of an object that anyone may read, Cloud Storage itself hands out an hour-old copy unless told not to.
        content, md5 = BytesContent(data), durable.md5_of_bytes(data)
        about = resource(
            self._build_key(name),
            content_type=content_type,
            md5=md5,
            metadata={"sha256": hashlib.sha256(data).hexdigest()} if only_this else None,
            headers={"cacheControl": "no-cache"},
        )
        return content, Write(self._bucket, about, content, md5)

    async def get_file(self, name: str, target: Path, *, sha256: str) -> None:
        """Fetch a file, verified; see Store.get_file."""

        def check(_: ObjectInfo, came: durable.Digests) -> str:
            return "" if came.sha256 == sha256 else f"the bytes received have the sha256 {came.sha256}, not {sha256}"

        part = durable.unfinished_beside(target)
        with _describe_disk_errors(target), durable.discarded_on_failure(part):
            target.parent.mkdir(parents=True, exist_ok=True)
            with part.open("xb") as stream:
                await self._fetch(name, Sink(stream), check)
                await asyncio.to_thread(durable.sync, stream)
            part.replace(target)

    async def read_bytes(self, name: str, limit: int) -> bytes:
        """Read a document of at most `limit` bytes; see Store.read_bytes."""

        def check(found: ObjectInfo, came: durable.Digests) -> str:
            # Of an object stored compressed the plain bytes come, whose hash is not told.
            right = found.gzipped or not found.md5 or came.md5 == found.md5
            return "" if right else f"the bytes received have the md5 {came.md5}, not {found.md5}"

        buffer = io.BytesIO()
        await self._fetch(name, Sink(buffer), check, limit)
        return buffer.getvalue()

    async def stat(self, name: str) -> Stat | None:
        """Read size and md5 in one request; see Store.stat."""
        key = self._build_key(await self._versions.real(name))
        async with self._bucket.connection.reads:
            found = await self._bucket.effort(key).of(lambda: self._bucket.find(key))
        return Stat(found.size, found.md5) if found else None

    async def list(self, prefix: str) -> tuple[str, ...]:
        """List names by prefix, page by page; see Store.list."""
        return tuple(await self.stats(prefix))

    async def stats(self, prefix: str) -> dict[str, Stat]:
        """List names with size and md5, one request per thousand; see Store.stats."""
        return dict(sorted(self._versions.show_newest(prefix, await self._list_objects(prefix)).items()))

    async def top_folders(self) -> tuple[str, ...]:
        """List what stands before the first slash of names; see Store.top_folders."""
        found: set[str] = set()
        token: str | None = None
        effort = self._bucket.effort(self._prefix)
        while True:
            page, token = await effort.of(partial(self._bucket.folders, self._prefix, token))
            found |= {key.removeprefix(self._prefix).rstrip("/") for key in page}
            effort.progress()
            if not token:
                return tuple(sorted(found - {""}))

    async def list_numbered(self, prefix: str) -> dict[str, str]:
        """List the documents that have several versions; see Store.list_numbered."""
        if not self._versions.keeps:
            return {}
        return {name: name_version(name, n) for name, n in newest(await self._list_objects(prefix))[1].items()}

    async def _list_objects(self, prefix: str) -> dict[str, Stat]:
        """List every object below a prefix, whichever version of a document it is."""
        found: dict[str, Stat] = {}
        token: str | None = None
        effort = self._bucket.effort(self._prefix + prefix)
        while True:
            page, token = await effort.of(partial(self._read_page, prefix, token))
            found |= page
            effort.progress()
            if not token:
                return found

    async def digests(self, name: str) -> durable.Digests:
        """Hash an object, piece by piece; see Store.digests."""
        sink = Sink()
        await self._fetch(name, sink, lambda *_: "")  # whatever the bytes are, they are the answer
        return sink.digests()

    async def remove(self, name: str, found: Stat) -> bool:
        """Delete exactly the generation that is there as found; see Store.remove."""
        key = self._build_key(await self._versions.real(name))

        async def delete() -> bool:
            there = await self._bucket.find(key)
            if there is None or Stat(there.size, there.md5) != found:
                return False
            await self._bucket.delete(key, there.generation)
            return True

        return await self._bucket.effort(key).of(delete)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._bucket.aclose()

    async def _write(self, content: Content, write: Callable[[], Awaitable[None]]) -> None:
        connection = self._bucket.connection
        async with contextlib.AsyncExitStack() as slots:
            # The scarcer slot first: large files that wait must not keep small ones from being written.
            if content.size > RESUMABLE:
                await slots.enter_async_context(connection.large_writes)
            await slots.enter_async_context(connection.writes)
            await write()

    async def _fetch(self, name: str, sink: Sink, check: Check, limit: int | None = None) -> None:
        if (
            await fetch_whole(self._bucket, self._build_key(await self._versions.real(name)), sink, check, limit)
            is None
        ):
            raise ArchiveError(f"{self.uri}/{name} is not in the archive. Nothing was fetched.")

    async def _read_page(self, prefix: str, token: str | None) -> tuple[dict[str, Stat], str | None]:
        page, following = await self._bucket.page(self._prefix + prefix, token)
        # Objects whose name ends in a slash are how the Cloud console shows empty folders: not files.
        files = {key.removeprefix(self._prefix): found for key, found in page.items() if not key.endswith("/")}
        return {name: Stat(found.size, found.md5) for name, found in files.items()}, following

    def _build_key(self, name: str) -> str:
        return confined(self._prefix + confined(name))


@contextlib.contextmanager
def _describe_disk_errors(target: Path) -> Iterator[None]:
    """Turn what the local disk refuses into an ArchiveError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArchiveError(
            f"{target} could not be written: {reason}. No part of it was left behind. See to the disk, then run again."
        ) from error
