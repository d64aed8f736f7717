"""What tests of the archive in a bucket share: stores that wait for nothing, and files of every size class."""

from __future__ import annotations

import hashlib
from pathlib import Path

from callsheet.archive.store import Store, StoredFile
from callsheet.archive.store_gcs import GcsStore
from callsheet.gcs.access import GoogleAccess, RetryLimits

# Without pauses. A stall is one after five seconds, or at once where the test makes one.
AT_ONCE = RetryLimits(stall_s=5, attempts=4, pause_s=0)
IMPATIENT = RetryLimits(stall_s=0.2, attempts=4, pause_s=0)

SMALL = b"picture" * 1000
# Above 8 MiB: sent in a session.
LARGE = bytes(range(256)) * 4 * 1024 * 9
# The same with the fixture early_sessions.
MIDDLING = bytes(reversed(range(256))) * 4 * 1024


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def store_at(url: str, prefix: str, patience: RetryLimits = AT_ONCE, bucket: str = "bucket") -> GcsStore:
    return GcsStore(bucket, prefix, access=GoogleAccess(url), patience=patience)


async def put(store: Store, folder: Path, name: str, data: bytes, **more: dict[str, str] | str) -> str:
    path = folder / f"source-{sha256(data)[:8]}"
    path.write_bytes(data)
    given = {"content_type": "image/png", **more}
    return await store.put_file(path, StoredFile(name, sha256=sha256(data), md5=md5(data), size=len(data), **given))  # type: ignore[arg-type]
