"""The archive as a folder: atomic, durable, create-only."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from callsheet import files as durable
from callsheet.archive.store import Stat, StoredFile, confined
from callsheet.errors import ArchiveConflict, ArchiveDenied, ArchiveError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_MAX_KNOWN_FOLDERS = 4096


class LocalStore:
    """A Store on a file system; a file is synced before its name appears.

    Each call runs in one worker thread. With `link`, the source file gets a second name instead of being copied and
    synced again: the caller promises that it is on the disk already (fsync) and is never written to again.
    """

    def __init__(self, root: Path, *, link: bool = False) -> None:
        self._root = root.absolute()
        self.uri = str(self._root)
        self._link = link
        self._known: set[Path] = set()
        self._mode: int | None = None

    async def put_file(self, source: Path, file: StoredFile) -> str:
        """Store a file once; see Store.put_file."""
        target = self._resolve(file.name)
        await asyncio.to_thread(self._put_file, source, target, Stat(file.size, file.md5))
        return str(target)

    async def adopt_file(self, source_uri: str, file: StoredFile) -> None:
        """Return None: a folder does not offer it; see Store.adopt_file."""
        return

    async def put_bytes(self, name: str, data: bytes, content_type: str) -> str:
        """Replace a document by rename; see Store.put_bytes."""
        target = self._resolve(name)
        await asyncio.to_thread(self._put_bytes, target, data)
        return str(target)

    async def get_file(self, name: str, target: Path, *, sha256: str) -> None:
        """Copy a file out, verified; see Store.get_file."""
        await asyncio.to_thread(self._get_file, self._resolve(name), target, sha256)

    async def read_bytes(self, name: str, limit: int) -> bytes:
        """Read a document of at most `limit` bytes; see Store.read_bytes."""
        return await asyncio.to_thread(self._read_bytes, self._resolve(name), limit)

    async def stat(self, name: str) -> Stat | None:
        """Read size and md5 from the file's bytes; see Store.stat."""
        return await asyncio.to_thread(self._stat, self._resolve(name))

    async def list(self, prefix: str) -> tuple[str, ...]:
        """List names by string prefix; see Store.list."""
        if prefix:
            confined(prefix.rstrip("/"))
        return await asyncio.to_thread(lambda: tuple(sorted(self._walk(prefix))))

    async def stats(self, prefix: str) -> dict[str, Stat]:
        """List names and sizes, without the md5; see Store.stats."""
        if prefix:
            confined(prefix.rstrip("/"))
        return await asyncio.to_thread(self._read_sizes, prefix)

    async def top_folders(self) -> tuple[str, ...]:
        """List the folders of the archive; see Store.top_folders."""
        return await asyncio.to_thread(self._list_folders)

    async def list_numbered(self, prefix: str) -> dict[str, str]:
        """Return nothing: in a folder documents are replaced; see Store.list_numbered."""
        return {}

    async def digests(self, name: str) -> durable.Digests:
        """Hash a file; see Store.digests."""
        return await asyncio.to_thread(self._read_digests, self._resolve(name))

    async def remove(self, name: str, found: Stat) -> bool:
        """Remove one file; see Store.remove."""
        return await asyncio.to_thread(self._remove, self._resolve(name), found)

    async def aclose(self) -> None:
        """Do nothing: no connection is open."""

    def _resolve(self, name: str) -> Path:
        return self._root / confined(name)

    def _put_file(self, source: Path, target: Path, expected: Stat) -> None:
        with _describe_disk_errors(target, "could not be stored"):
            if not _is_already_there(target, expected):
                self._make_folder(target.parent)
                try:
                    self._take_over(source, target, expected)
                except FileExistsError:
                    # Another process was faster; its bytes are judged like those of any earlier run.
                    _is_already_there(target, expected)
            # Also for a file found there: whoever stored it may have been killed before this.
            durable.sync_folder(target.parent)

    def _take_over(self, source: Path, target: Path, expected: Stat) -> None:
        if self._link:
            _check(source, expected, Stat(source.stat().st_size, durable.md5_of_file(source)))
            if self._share_mode(source, target.parent) and durable.link_new(source, target):
                return
        part = durable.unfinished_beside(target)
        with durable.discarded_on_failure(part):
            durable.write_copy(source, part)
            # What is hashed is what was written, not what was read to be written.
            _check(source, expected, Stat(part.stat().st_size, durable.md5_of_file(part)))
            durable.publish_new(part, target)

    def _share_mode(self, source: Path, folder: Path) -> bool:
        """Give the private source the permissions of a new file in the folder.

        False when it has to be copied.
        """
        try:
            if not durable.is_own_group(source, folder):
                return False
            if self._mode is None:
                self._mode = durable.mode_of_new_files(folder)
            held = source.stat()
            if stat.S_IMODE(held.st_mode) != self._mode:
                if held.st_nlink > 1:  # what lies in the archive under another name keeps its mode
                    return False
                source.chmod(self._mode)
        except PermissionError:  # another user's file
            return False
        return True

    def _put_bytes(self, target: Path, data: bytes) -> None:
        with _describe_disk_errors(target, "could not be written"):
            self._make_folder(target.parent)
            part = durable.unfinished_beside(target)
            with durable.discarded_on_failure(part):
                durable.write_bytes(data, part)
                part.replace(target)
            durable.sync_folder(target.parent)

    def _get_file(self, path: Path, target: Path, sha256: str) -> None:
        with _describe_disk_errors(path, "could not be fetched"):
            target.parent.mkdir(parents=True, exist_ok=True)
            part = durable.unfinished_beside(target)
            with durable.discarded_on_failure(part):
                durable.write_copy(path, part)
                found = durable.digests(part).sha256
                if found != sha256:
                    raise ArchiveError(
                        f"{path} has the sha256 {found}, not {sha256}: the file in the archive is damaged. "
                        f"{target} was not written. Restore the file from a copy, or remove it and run again."
                    )
                part.replace(target)

    def _read_bytes(self, path: Path, limit: int) -> bytes:
        with _describe_disk_errors(path, "could not be read"), path.open("rb") as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise ArchiveError(f"{path} is larger than the {limit} bytes allowed for it. It was not read; look at it.")
        return data

    def _stat(self, path: Path) -> Stat | None:
        with _describe_disk_errors(path, "could not be looked at"):
            return _stat(path)

    def _read_sizes(self, prefix: str) -> dict[str, Stat]:
        sizes = {}
        for name in sorted(self._walk(prefix)):
            with (
                _describe_disk_errors(self._root / name, "could not be looked at"),
                contextlib.suppress(FileNotFoundError),
            ):
                sizes[name] = Stat((self._root / name).stat().st_size, "")
        return sizes

    def _read_digests(self, path: Path) -> durable.Digests:
        with _describe_disk_errors(path, "could not be read"):
            return durable.digests(path)

    def _remove(self, path: Path, found: Stat) -> bool:
        with _describe_disk_errors(path, "could not be removed"):
            if _stat(path) != found:
                return False
            path.unlink()
            durable.sync_folder(path.parent)
            return True

    def _walk(self, prefix: str) -> Iterator[str]:
        folder = self._root / prefix.rpartition("/")[0]
        with _describe_disk_errors(folder, "could not be listed"):
            for parent, _, files in os.walk(folder, onerror=_raise_unless_missing):
                for file in files:
                    name = (Path(parent) / file).relative_to(self._root).as_posix()
                    if name.startswith(prefix) and not file.startswith(durable.UNFINISHED):
                        yield name

    def _list_folders(self) -> tuple[str, ...]:
        with _describe_disk_errors(self._root, "could not be listed"):
            try:
                return tuple(sorted(entry.name for entry in os.scandir(self._root) if entry.is_dir()))
            except FileNotFoundError:
                return ()

    def _make_folder(self, folder: Path) -> None:
        """Create `folder`; each folder made is itself synced into its parent, once."""
        if folder in self._known:
            return
        if not folder.is_dir():
            self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
            durable.sync_folder(folder.parent)
        if len(self._known) >= _MAX_KNOWN_FOLDERS:
            self._known.clear()
        self._known.add(folder)


def _stat(path: Path) -> Stat | None:
    try:
        return Stat(path.stat().st_size, durable.md5_of_file(path))
    except FileNotFoundError:
        return None


def _is_already_there(target: Path, expected: Stat) -> bool:
    found = _stat(target)
    if found is not None and found != expected:
        raise ArchiveConflict(
            f"{target} exists with other bytes ({found.size} bytes, md5 {found.md5}; to be stored: {expected.size} "
            f"bytes, md5 {expected.md5}). It was left as it is. Move it away if it is damaged, then run again."
        )
    return found is not None


def _check(source: Path, expected: Stat, found: Stat) -> None:
    if found != expected:
        raise ArchiveError(
            f"{source} is not the file that was to be stored: {found.size} bytes, md5 {found.md5}, instead of "
            f"{expected.size} bytes, md5 {expected.md5}. Nothing was stored; fetch the file again."
        )


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


@contextlib.contextmanager
def _describe_disk_errors(path: Path, what: str) -> Iterator[None]:
    """Turn an OSError into an ArchiveError that says what to do about it."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            raise ArchiveError(
                f"{path} {what}: {reason}. No part of it was left behind. Free disk space, then run again."
            ) from error
        if error.errno in _DENIED:
            raise ArchiveDenied(
                f"{path} {what}: {reason}. Give this user the right to write there, or set CALLSHEET_ARCHIVE to "
                "another folder, then run again."
            ) from error
        if isinstance(error, FileNotFoundError):
            raise ArchiveError(f"{error.filename or path} {what}: it is not there.") from error
        raise ArchiveError(f"{path} {what}: {reason}. Look at the folder, then run again.") from error
