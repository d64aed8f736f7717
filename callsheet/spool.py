"""The spool: paid bytes on this machine's disk, named by their hash, from arrival until the batch is archived."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile


@dataclass(frozen=True, slots=True)
class Spooled:
    """A file in the spool with its digests (hex) and size in bytes."""

    path: Path
    sha256: str
    md5: str
    size: int


class Spool:
    """Content-addressed files under `root`. A name is there only when all its bytes are, durably."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where the file with this hash is, or would be."""
        return self.root / sha256[:2] / sha256

    def holds(self, sha256: str, size: int) -> bool:
        """Whether the whole file is here."""
        try:
            return self.path(sha256).stat().st_size == size
        except OSError:
            return False

    def write(self, data: bytes) -> Spooled:
        """Store bytes durably: temporary file, fsync, rename, folder fsync. Writing them again changes nothing."""
        digests = Spooled(Path(), hashlib.sha256(data).hexdigest(), _md5(data).hexdigest(), len(data))
        target = self.path(digests.sha256)
        if not self.holds(digests.sha256, digests.size):
            target.parent.mkdir(exist_ok=True)
            with NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            _publish(Path(file.name), target)
        return Spooled(target, digests.sha256, digests.md5, digests.size)

    def adopt(self, source: Path) -> Spooled:
        """Move a finished file of the same file system into the spool; read once, in 1 MiB pieces."""
        sha256, md5, size = hashlib.sha256(), _md5(b""), 0
        with source.open("rb") as file:
            while piece := file.read(1 << 20):
                sha256.update(piece)
                md5.update(piece)
                size += len(piece)
            os.fsync(file.fileno())
        target = self.path(sha256.hexdigest())
        target.parent.mkdir(exist_ok=True)
        _publish(source, target)
        return Spooled(target, sha256.hexdigest(), md5.hexdigest(), size)

    def scratch(self, suffix: str = "") -> Path:
        """A new empty file on the spool's file system, for work in progress; the caller removes or adopts it."""
        (self.root / "scratch").mkdir(exist_ok=True)
        with NamedTemporaryFile(dir=self.root / "scratch", suffix=suffix, delete=False) as file:
            return Path(file.name)

    def discard(self, sha256: str) -> None:
        """Remove a file that is safe in the archive."""
        self.path(sha256).unlink(missing_ok=True)


def _md5(data: bytes) -> hashlib._Hash:
    # md5 is what Cloud Storage reports per object (md5Hash in its JSON API); it guards against accidents only.
    return hashlib.md5(data, usedforsecurity=False)


def _publish(source: Path, target: Path) -> None:
    source.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
