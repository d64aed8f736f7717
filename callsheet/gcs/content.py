"""The content of an upload: a file or bytes, handed out in slices.

So no large file is ever in memory whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

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
