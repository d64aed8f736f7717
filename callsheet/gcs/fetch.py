"""Reading a whole object piece by piece, hashed on the way.

It goes on from where it was interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import BinaryIO

import aiohttp

from callsheet.errors import ArchiveError
from callsheet.files import Digests, Hashing
from callsheet.gcs.access import RetryLoop, WriteInDoubt
from callsheet.gcs.bucket import Bucket, ObjectInfo
from callsheet.gcs.upload import SLICE

_BLOCK = 4 * SLICE


class Sink:
    """The place where the bytes of an object go.

    Into `stream`, where there is one, and into the hashes.
    """

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream
        self._hashing = Hashing()
        self._furthest = 0

    @property
    def size(self) -> int:
        """The number of bytes that are here."""
        return self._hashing.size

    def add(self, data: bytes | bytearray) -> None:
        """Add the next bytes. Blocks."""
        if self._stream is not None:
            self._stream.write(data)
        self._hashing.add(data)

    def grew(self) -> bool:
        """Return whether there is more here than ever before, so that it pays to go on.

        A little more does not count.
        """
        further = self.size - self._furthest >= SLICE
        if further:
            self._furthest = self.size
        return further

    def restart(self) -> None:
        """Forget everything."""
        if self._stream is not None:
            self._stream.seek(0)
            self._stream.truncate()
        self._hashing = Hashing()

    def digests(self) -> Digests:
        """Return the hashes and the size of what is here."""
        return self._hashing.digests()


# What is wrong with bytes that came of an object, "" when they are right.
Check = Callable[[ObjectInfo, Digests], str]


class Gone(WriteInDoubt):
    """The generation that was looked at has been replaced or deleted since."""


async def fetch_whole(
    bucket: Bucket, key: str, sink: Sink, check: Check, limit: int | None = None
) -> ObjectInfo | None:
    """Fetch an object's bytes into `sink` until `check` finds nothing wrong with them.

    None when the object is absent. Raises ArchiveError when it is larger than `limit` bytes.
    """
    effort = bucket.effort(key)
    found: ObjectInfo | None = None

    async def attempt() -> None:
        nonlocal found
        found = found or await bucket.find(key)
        if found is None:
            return
        if limit is not None and found.size > limit:
            raise ArchiveError(
                f"{bucket.uri(key)} is larger than the {limit} bytes allowed for it. It was not read; look at it."
            )
        try:
            await fetch(bucket, key, found, sink, effort)
        except Gone:
            found = None
            sink.restart()
            raise
        if wrong := check(found, sink.digests()):
            sink.restart()
            raise WriteInDoubt(wrong)

    async with bucket.connection.reads:
        await effort.of(attempt)
    return found


async def fetch(bucket: Bucket, key: str, found: ObjectInfo, sink: Sink, effort: RetryLoop) -> None:
    """Fetch the bytes of this generation into `sink`.

    Raises Doubt unless as many came as it has. What a failed attempt left in the sink is continued. Of an object that
    is stored compressed, the plain bytes come.
    """
    if found.gzipped:
        sink.restart()
    async with contextlib.AsyncExitStack() as stack:
        before = sink.size
        response, alive = await stack.enter_async_context(bucket.media(key, found.generation, before))
        if response.status == 404:
            raise Gone(f"generation {found.generation} is gone")
        if response.status != 206 or not _starts_at(response, before):
            sink.restart()
        try:
            await _receive(response, alive, sink, size=None if found.gzipped else found.size)
        finally:
            if sink.grew():
                effort.progress()
    if sink.size != found.size and not found.gzipped:
        short = sink.size
        if short > found.size:
            sink.restart()
        raise WriteInDoubt(f"{short} bytes came instead of {found.size}")


def _starts_at(response: aiohttp.ClientResponse, start: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


async def _receive(
    response: aiohttp.ClientResponse, alive: Callable[[], None], sink: Sink, *, size: int | None
) -> None:
    block, told = bytearray(), 0
    try:
        async for piece in response.content.iter_any():
            block += piece
            told += len(piece)
            if told >= SLICE:
                told = 0
                alive()
            if len(block) >= _BLOCK:
                full, block = block, bytearray()
                await asyncio.to_thread(sink.add, full)
            if size is not None and sink.size + len(block) > size:
                break
    finally:
        sink.add(block)  # what came before an interruption counts
