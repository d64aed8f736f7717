"""What identifies a file: its hashes and size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Digest:
    """Hashes in lower-case hex and the size in bytes. md5 is there because object stores report it."""

    sha256: str
    md5: str
    size: int


def digest_file(path: Path) -> Digest:
    """The digest of a file, read once in pieces of 1 MiB; OSError when it cannot be read."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
            size += len(chunk)
    return Digest(sha256.hexdigest(), md5.hexdigest(), size)
