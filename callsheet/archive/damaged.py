"""A wrong file is kept in the batch's `.damaged/`, under the hash of its bytes, before another replaces it."""

from __future__ import annotations

from callsheet.archive.create import create_document
from callsheet.archive.store import Stat, Store
from callsheet.files import md5_of_bytes

DAMAGED = ".damaged"


def kept_name(prefix: str, md5: str, name: str) -> str:
    """Where a wrong file of the batch at `prefix` is kept."""
    return f"{prefix}/{DAMAGED}/{md5[:12]}/{name.removeprefix(f'{prefix}/')}"


async def keep_aside(store: Store, prefix: str, name: str, limit: int) -> Stat:
    """Copy a file to where it is kept, and return how it was; ArchiveError when it is larger than `limit` bytes."""
    data = await store.read_bytes(name, limit)
    md5 = md5_of_bytes(data)
    await create_document(store, kept_name(prefix, md5, name), data, "application/octet-stream")
    return Stat(len(data), md5)
