"""A file that arrives over HTTP in one turn or several.

What is here, and whether a reply continues it: pure judgements of status and headers (RFC 9110, 14 and 13.1.5), and the
bytes on this disk.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from callsheet.errors import DownloadFailed
from callsheet.providers.operations import MAX_VIDEO_BYTES


@asynccontextmanager
async def open_partial(target: Path) -> AsyncIterator[BinaryIO]:
    """Open `target` for writing; remove it again when the block fails.

    Any exception counts, cancellation too.
    """
    handle = await asyncio.to_thread(target.open, "wb")
    try:
        yield handle
    except BaseException:
        _abandon(handle, target)
        raise
    await asyncio.to_thread(handle.close)


def _abandon(handle: BinaryIO, target: Path) -> None:
    handle.close()
    target.unlink(missing_ok=True)


async def write_video(data: bytes, target: Path) -> None:
    """Write bytes that came inside an operation."""
    if not data:
        raise DownloadFailed("The operation holds a video of no bytes. Poll it again: that is free.")
    async with open_partial(target) as handle:
        await asyncio.to_thread(handle.write, data)


BLOCK = 256 * 1024
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


@dataclass(frozen=True, slots=True)
class ContentRange:
    """The part of a file that a reply holds: bytes `start` to `end` of `total`.

    `end` is inclusive; `total` is None when the reply does not state it.
    """

    start: int
    end: int
    total: int | None


def read_range(header: str | None) -> ContentRange | None:
    """Return a Content-Range, None when there is none or it makes no sense."""
    found = _RANGE.fullmatch((header or "").strip())
    if found is None:
        return None
    start, end = int(found[1]), int(found[2])
    total = None if found[3] == "*" else int(found[3])
    return ContentRange(start, end, total) if start <= end and (total is None or end < total) else None


class Interrupted(DownloadFailed):
    """A transfer that ended before the file did.

    What came is kept, and another turn may go on from there. `slow` when it was ended because it was too slow.
    """

    def __init__(self, message: str, *, slow: bool = False) -> None:
        super().__init__(message)
        self.slow = slow


class PartialFile:
    """The beginning of a file in `stream`, and what identifies the rest of it.

    `size` bytes of `total` are here (None: not stated); `received` counts all that ever came. `can_resume` when a
    validator shows whether a later reply is of the same file.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._block = bytearray()
        self._validator = ""
        self.can_resume = False
        self.size = self.received = 0
        self.total: int | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers that ask for the rest; none when all of it has to come."""
        return {"Range": f"bytes={self.size}-", "If-Range": self._validator} if self.size and self.can_resume else {}

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Prepare for the body of a reply: it continues the file, or starts it over."""
        part, validator = read_range(headers.get("Content-Range")), _validator(headers)
        if status == PARTIAL_CONTENT and part is not None and self._is_continuation(part, validator):
            self.total = part.total or self.total
        elif status == PARTIAL_CONTENT and part is not None and part.start:
            await self.restart()
            raise Interrupted("the part that came is not the one asked for")
        else:
            await self.restart()
            self.total = part.total if part and status == PARTIAL_CONTENT else _read_length(headers)
        encoded = headers.get("Content-Encoding", "identity").lower() != "identity"
        self._validator = validator or self._validator
        self.can_resume = bool(self._validator) and not encoded
        if encoded:
            self.total = None

    def _is_continuation(self, part: ContentRange, validator: str) -> bool:
        same = None in (part.total, self.total) or part.total == self.total
        return part.start == self.size and same and validator in ("", self._validator or validator)

    async def add(self, data: bytes) -> None:
        """Add the next bytes; DownloadFailed when they are more than any video has."""
        if self.size + len(data) > MAX_VIDEO_BYTES:
            raise DownloadFailed(f"The video is larger than {MAX_VIDEO_BYTES} bytes: not taken.")
        self._block += data
        self.size += len(data)
        self.received += len(data)
        if len(self._block) >= BLOCK:
            full, self._block = self._block, bytearray()
            await asyncio.to_thread(self._stream.write, full)

    def flush(self) -> None:
        """Write what is left; call it whenever a transfer ends, in whatever way."""
        self._stream.write(self._block)
        self._block.clear()

    async def restart(self) -> None:
        """Forget what is here."""
        self._block.clear()
        await asyncio.to_thread(_clear, self._stream)
        self.size, self.total, self._validator, self.can_resume = 0, None, "", False

    @property
    def is_whole(self) -> bool:
        """Return whether as many bytes are here as the file has, if that was stated."""
        return self.size > 0 and self.total in (None, self.size)


def _clear(stream: BinaryIO) -> None:
    stream.seek(0)
    stream.truncate()


def _read_length(headers: Mapping[str, str]) -> int | None:
    told = headers.get("Content-Length", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) < 19 else None


def _validator(headers: Mapping[str, str]) -> str:
    """Return what If-Range may carry: a strong ETag, else the date.

    RFC 9110, 13.1.5.
    """
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")
