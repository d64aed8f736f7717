"""Files on the local disk that are whole or absent.

Hashing, unfinished names, syncing, and publishing that only ever creates.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a new name beside `target`, which replaces it when the block succeeds.

    It is removed on any failure. The name is absolute and starts with a dot, so tools cannot take it for an option or a
    protocol.
    """
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield part
        os.replace(part, target)  # noqa: PTH105 - the function that is documented to be atomic
    finally:
        part.unlink(missing_ok=True)


CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Digest:
    """A file's hashes in lower-case hex and its size in bytes.

    md5 is there because object stores report it.
    """

    sha256: str
    md5: str
    size: int


def digest_file(path: Path) -> Digest:
    """Return a file's digest, read once in pieces of 1 MiB.

    Raises OSError when it cannot be read.
    """
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
            size += len(chunk)
    return Digest(sha256.hexdigest(), md5.hexdigest(), size)


UNFINISHED = ".part-"
# What a file system without hard links answers to link(2), and what Linux answers for another file system,
# too many links, or a file of another owner under fs.protected_hardlinks.
_NO_LINK = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, errno.EMLINK, errno.EACCES}


@dataclass(frozen=True, slots=True)
class Digests:
    """The hashes of a file as hex digits and its size in bytes."""

    sha256: str
    md5: str
    size: int


class Hashing:
    """Hashes and counts bytes that come piece by piece."""

    def __init__(self) -> None:
        self._sha256, self._md5, self._size = hashlib.sha256(), new_md5(), 0

    @property
    def size(self) -> int:
        """The number of bytes so far."""
        return self._size

    def add(self, data: bytes | bytearray) -> None:
        """Add the next piece."""
        self._sha256.update(data)
        self._md5.update(data)
        self._size += len(data)

    def digests(self) -> Digests:
        """Return the hashes and the size of all pieces so far."""
        return Digests(self._sha256.hexdigest(), self._md5.hexdigest(), self._size)


def digests(path: Path) -> Digests:
    """Return both hashes and the size of a file, read once."""
    hashing = Hashing()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            hashing.add(chunk)
    return hashing.digests()


def md5_of_bytes(data: bytes) -> str:
    """Return the md5 of `data` as hex digits."""
    digest = new_md5()
    digest.update(data)
    return digest.hexdigest()


def md5_of_file(path: Path) -> str:
    """Return the md5 of a file as hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, new_md5).hexdigest()


def unfinished_beside(target: Path) -> Path:
    """Return a new name in the target's folder for bytes that are not whole yet.

    Listings leave such names out.
    """
    return target.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")


def write_copy(source: Path, part: Path) -> None:
    """Copy `source` to the new file `part` and sync it."""
    with source.open("rb") as stream, part.open("xb") as out:
        shutil.copyfileobj(stream, out, CHUNK)
        sync(out)


def write_bytes(data: bytes, part: Path) -> None:
    """Write `data` to the new file `part` and sync it."""
    with part.open("xb") as out:
        out.write(data)
        sync(out)


def sync(stream: BinaryIO) -> None:
    """Flush a file and sync it to the disk."""
    stream.flush()
    os.fsync(stream.fileno())


def make_private(folder: Path) -> None:
    """Make a folder that only its owner may look into.

    One that is there keeps its mode.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def mode_of_new_files(folder: Path) -> int:
    """Return the permissions that a new file in `folder` gets.

    They are the umask's, or those of the folder's default ACL.
    """
    probe = unfinished_beside(folder / "mode")
    with probe.open("xb") as new:
        mode = stat.S_IMODE(os.fstat(new.fileno()).st_mode)
    probe.unlink(missing_ok=True)
    return mode


def is_own_group(source: Path, folder: Path) -> bool:
    """Return whether a new file in `folder` would get the group that `source` has.

    Shared folders give their own group.
    """
    at = folder.stat()
    if at.st_mode & stat.S_ISGID and at.st_gid != source.stat().st_gid:
        return False
    with contextlib.suppress(OSError):
        return not os.getxattr(folder, "system.posix_acl_default")
    return True


def link_new(source: Path, target: Path) -> bool:
    """Give `source` the further name `target`; return whether the file system can.

    Raises FileExistsError when the name is taken.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    return True


def publish_new(part: Path, target: Path) -> None:
    """Move `part` to `target`; raise FileExistsError when that exists.

    Where the file system has no links, it is only looked at before.
    """
    if link_new(part, target):
        part.unlink()
        return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    part.rename(target)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut.

    A file system that cannot sync folders is left alone.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF}:
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def discarded_on_failure(part: Path) -> Iterator[None]:
    """Remove the unfinished file `part`, if it is there, when the block raises."""
    try:
        yield
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def new_md5() -> hashlib._Hash:
    """Return an md5 to add to: an integrity check, as object stores use it.

    It is not a security measure.
    """
    return hashlib.md5(usedforsecurity=False)
