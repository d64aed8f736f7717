"""The spool: paid bytes on this machine's disk, named by their hash.

From arrival until the batch is archived.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from callsheet.errors import ArchiveError, NoRoom
from callsheet.files import digest_file, make_private
from callsheet.providers.reply_spool import KeptReplies

SCRATCH_KEPT_S = 86_400.0
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Spooled:
    """A file in the spool with its digests (hex) and size in bytes."""

    path: Path
    sha256: str
    md5: str
    size: int


class Spool:
    """Content-addressed files under `root`.

    A name is there only when all its bytes are, durably. Several processes may share one: files leave it only while no
    other process has it open. `replies` are those to paid requests, as they came, numbered by the ledger of that
    identity.
    """

    def __init__(self, root: Path, ledger: str = "none") -> None:
        self.root = root
        make_private(root)
        self.replies = KeptReplies(root / "replies", ledger)
        (root / "scratch").mkdir(exist_ok=True)
        (root / "made").mkdir(exist_ok=True)
        self._in_use = (root / "in-use").open("ab")
        fcntl.flock(self._in_use, fcntl.LOCK_SH)
        self._sweep()

    def close(self) -> None:
        """Let other processes empty the spool."""
        self._in_use.close()

    def path(self, sha256: str) -> Path:
        """Return where the file with this hash is, or would be."""
        return self.root / sha256[:2] / sha256

    def holds(self, sha256: str, size: int) -> bool:
        """Return whether the whole file is here."""
        try:
            return self.path(sha256).stat().st_size == size
        except OSError:
            return False

    def write(self, data: bytes) -> Spooled:
        """Store bytes durably; writing them again changes nothing.

        Temporary file, fsync, rename, folder fsync.
        """
        digests = Spooled(Path(), hashlib.sha256(data).hexdigest(), _hash_md5(data).hexdigest(), len(data))
        target = self.path(digests.sha256)
        if not self.holds(digests.sha256, digests.size):
            with _describe_disk_errors(self.root):
                target.parent.mkdir(exist_ok=True)
                with NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                _publish(Path(file.name), target)
        return Spooled(target, digests.sha256, digests.md5, digests.size)

    def adopt(self, source: Path) -> Spooled:
        """Move a finished file of the same file system into the spool.

        It is read once, in 1 MiB pieces.
        """
        digest = digest_file(source)
        target = self.path(digest.sha256)
        with _describe_disk_errors(self.root):
            with source.open("rb") as file:
                os.fsync(file.fileno())
            target.parent.mkdir(exist_ok=True)
            _publish(source, target)
        return Spooled(target, digest.sha256, digest.md5, digest.size)

    def scratch(self, suffix: str = "") -> Path:
        """Create an empty file on the spool's file system, for work in progress.

        The caller removes or adopts it.
        """
        with NamedTemporaryFile(dir=self.root / "scratch", suffix=suffix, delete=False) as file:
            return Path(file.name)

    def damaged(self, key: str) -> Path:
        """Return the place of the damaged bytes that came of a job's file.

        They are kept as evidence until the file is whole.
        """
        (self.root / "damaged").mkdir(exist_ok=True)
        return self.root / "damaged" / key

    def find_derived(self, sha256: str) -> Path | None:
        """Return the file here that was noted as made of the one with this hash."""
        try:
            made = self.path((self.root / "made" / sha256).read_text())
        except FileNotFoundError:
            return None
        return made if made.is_file() else None

    def note_made(self, sha256: str, made: Path) -> Path:
        """Note durably that a file of the spool was made of the one with this hash.

        Returns the one noted first. For what does not come out the same twice, so that a run which was killed goes on
        with the file it had.
        """
        note = self.root / "made" / sha256
        with (
            _describe_disk_errors(self.root),
            NamedTemporaryFile(dir=self.root / "scratch", mode="w", delete=False) as file,
        ):
            file.write(made.name)
            file.flush()
            os.fsync(file.fileno())
        part = Path(file.name)
        with _describe_disk_errors(self.root):
            if self.find_derived(sha256) is None:
                note.unlink(missing_ok=True)
                with suppress(FileExistsError):
                    note.hardlink_to(part)
                _sync(note.parent)
            part.unlink()
        return self.find_derived(sha256) or made

    def check_room(self, megabytes: int) -> None:
        """Raise NoRoom when the disk has less than this free (megabytes).

        What is paid for next could not be kept.
        """
        free = shutil.disk_usage(self.root).free
        if free < megabytes * MB:
            raise NoRoom(
                f"The disk of {self.root} has {free // MB} MB left, less than the {megabytes} MB kept free for "
                "results (CALLSHEET_MIN_FREE_MB). Nothing was sent. Free some space and run the same command again."
            )

    def _sweep(self) -> None:
        """Remove work in progress that a killed process left behind.

        After a day, which is longer than any encoder runs.
        """
        for path in (self.root / "scratch").iterdir():
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - SCRATCH_KEPT_S:
                    path.unlink()

    def hashes(self) -> list[str]:
        """Return the hashes of the files that are here."""
        return [path.name for path in self.root.glob("[0-9a-f][0-9a-f]/[0-9a-f]*")]

    def empty(self, hashes: Iterable[str]) -> bool:
        """Remove files that are safe in the archive.

        False, and nothing removed, while another process works here.
        """
        try:
            fcntl.flock(self._in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Giving up may have cost the shared lock: locks are not converted in one step (flock(2)).
            fcntl.flock(self._in_use, fcntl.LOCK_SH)
            return False
        gone = set(hashes)
        for sha256 in gone:
            self.path(sha256).unlink(missing_ok=True)
        for note in (self.root / "made").iterdir():
            if note.read_text() in gone:
                note.unlink()
        fcntl.flock(self._in_use, fcntl.LOCK_SH)
        return True


@contextmanager
def _describe_disk_errors(root: Path) -> Iterator[None]:
    """Turn an error of a full or broken disk into an ArchiveError.

    It says what to do.
    """
    try:
        yield
    except OSError as error:
        raise ArchiveError(
            f"{root} cannot be written to: {error.strerror or error}. What was just made could not be kept. Free some "
            "space, or move CALLSHEET_HOME, and run the same command again."
        ) from error


def _hash_md5(data: bytes) -> hashlib._Hash:
    # md5 is what Cloud Storage reports per object (md5Hash in its JSON API); it guards against accidents only.
    return hashlib.md5(data, usedforsecurity=False)


def _publish(source: Path, target: Path) -> None:
    source.replace(target)
    _sync(target.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
