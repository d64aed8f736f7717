"""A document that is made once and never replaced: of several writers of a name, one makes it."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from callsheet import files
from callsheet.archive.store import Store


async def create_document(store: Store, name: str, data: bytes, content_type: str) -> None:
    """Store a new document; ArchiveConflict when the name is taken by another one."""
    with tempfile.TemporaryDirectory(prefix="callsheet-") as folder:
        source = Path(folder) / "document"
        # Synced: a store may take the file over by a link.
        await asyncio.to_thread(files.write_bytes, data, source)
        found = await asyncio.to_thread(files.digests, source)
        await store.put_file(
            source, name, sha256=found.sha256, md5=found.md5, size=found.size, content_type=content_type
        )
