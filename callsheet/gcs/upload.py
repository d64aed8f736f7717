"""Uploading an object: its content in slices, in one request or in a session.

No large file is ever in memory whole. A session goes on where it was interrupted.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit

import google_crc32c

from callsheet import files
from callsheet.errors import ArchiveError

# One slice goes to the socket at a time; one block is read from the disk at a time, by a thread.
SLICE = 256 * 1024
_BLOCK = 4 * SLICE


class Body(Protocol):
    """Bytes of a known size, from an offset on, as often as they are asked for."""

    @property
    def size(self) -> int:
        """The number of bytes."""
        ...

    def slices(self, start: int = 0) -> AsyncIterator[memoryview]:
        """Yield the bytes from `start` on; raise ArchiveError when they cannot be read."""
        ...


class Content(Body, Protocol):
    """The bytes of an object, which can be hashed too."""

    async def checksums(self) -> Checksums:
        """Hash the bytes as they are now; raise ArchiveError when they cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class Checksums:
    """The md5 and the crc32c of some bytes, as hex digits."""

    md5: str
    crc32c: str


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file on this disk, of the size that it is expected to have."""

    path: Path
    size: int

    async def slices(self, start: int = 0) -> AsyncIterator[memoryview]:
        """Yield the file's bytes, as many as `size` says."""
        stream = await asyncio.to_thread(_open_at, self.path, start)
        left = self.size - start
        try:
            while left > 0:
                block = memoryview(await asyncio.to_thread(_read_block, stream, min(_BLOCK, left)))
                left -= len(block)
                for offset in range(0, len(block), SLICE):
                    yield block[offset : offset + SLICE]
        finally:
            stream.close()

    async def checksums(self) -> Checksums:
        """Read the file once more and hash it."""
        return await asyncio.to_thread(_hash_file, self.path)


@dataclass(frozen=True, slots=True)
class BytesContent:
    """Bytes in memory."""

    data: bytes

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self.data)

    async def slices(self, start: int = 0) -> AsyncIterator[memoryview]:
        """Yield the bytes, nothing copied."""
        view = memoryview(self.data)
        for offset in range(start, len(view), SLICE):
            yield view[offset : offset + SLICE]

    async def checksums(self) -> Checksums:
        """Hash the bytes."""
        return Checksums(files.md5_of_bytes(self.data), google_crc32c.Checksum(self.data).hexdigest().decode())


def _open_at(path: Path, start: int) -> BinaryIO:
    try:
        stream = path.open("rb", buffering=0)
        stream.seek(start)
    except OSError as error:
        raise _refuse_unreadable(path, error) from error
    return stream


def _read_block(stream: BinaryIO, count: int) -> bytes:
    try:
        block = stream.read(count)
    except OSError as error:
        raise _refuse_unreadable(Path(stream.name), error) from error
    if not block:
        raise ArchiveError(f"{stream.name} is shorter than it was. Nothing was stored; fetch the file again.")
    return block


def _hash_file(path: Path) -> Checksums:
    md5, crc32c = files.new_md5(), google_crc32c.Checksum()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                md5.update(block)
                crc32c.update(block)
    except OSError as error:
        raise _refuse_unreadable(path, error) from error
    return Checksums(md5.hexdigest(), crc32c.hexdigest().decode())


def _refuse_unreadable(path: Path, error: OSError) -> ArchiveError:
    return ArchiveError(
        f"{path} could not be read: {error.strerror}. Nothing was stored; see to the file, then run again."
    )


@dataclass(frozen=True, slots=True)
class Multipart:
    """The body of a multipart upload: the object's metadata, and the bytes.

    The boundary is drawn at random. gcsfs has a constant boundary, at which data that holds it was cut off silently
    (measured 2026-11-21).
    """

    prefix: bytes
    content: Content
    suffix: bytes
    content_type: str

    @staticmethod
    def of(resource: Mapping[str, Any], content: Content) -> Multipart:
        """Return the body that uploads `content` as the object that `resource` describes."""
        boundary = secrets.token_hex(16)
        about = json.dumps(resource, ensure_ascii=False)
        kind = resource["contentType"]
        prefix = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{about}\r\n"
            f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n"
        )
        suffix = f"\r\n--{boundary}--\r\n".encode()
        return Multipart(prefix.encode(), content, suffix, f"multipart/related; boundary={boundary}")

    @property
    def size(self) -> int:
        """The number of bytes, with the frame."""
        return len(self.prefix) + self.content.size + len(self.suffix)

    async def slices(self, start: int = 0) -> AsyncIterator[memoryview]:
        """Yield the whole body; it cannot begin in the middle."""
        yield memoryview(self.prefix)
        async for piece in self.content.slices():
            yield piece
        yield memoryview(self.suffix)


@dataclass(slots=True)
class Session:
    """An upload session: where its bytes go, and how many the server has already.

    None: it has to be asked.
    """

    location: str
    content_type: str
    kept: int | None = 0

    @staticmethod
    def at(location: str, content_type: str, endpoint: str | None) -> Session:
        """Return the session at `location`.

        An emulator may name a host by which it is not reached from here.
        """
        if endpoint:
            parts = urlsplit(location)
            location = f"{endpoint}{parts.path}?{parts.query}"
        return Session(location, content_type)

    def range(self, size: int) -> str:
        """Return the Content-Range of the next request.

        It is the rest of `size` bytes, or the question how much the server has.
        """
        return f"bytes */{size}" if self.kept is None else f"bytes {self.kept}-{size - 1}/{size}"


def parse_kept_bytes(headers: Mapping[str, str]) -> int:
    """Return how many bytes a 308 says that the server has."""
    found = re.fullmatch(r"(?:bytes=)?0-(\d+)", headers.get("Range", ""))
    return int(found.group(1)) + 1 if found else 0
