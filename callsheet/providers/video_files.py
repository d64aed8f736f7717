"""Writing a video to disk: whole, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from callsheet.errors import DownloadFailed


@asynccontextmanager
async def opened(target: Path) -> AsyncIterator[BinaryIO]:
    """`target`, opened for writing; removed again when an exception (cancellation too) leaves the block."""
    handle = await asyncio.to_thread(target.open, "wb")
    try:
        yield handle
    except BaseException:
        _abandon(handle, target)
        raise
    await asyncio.to_thread(handle.close)


def _abandon(handle: BinaryIO, target: Path) -> None:
    handle.close()
    target.unlink(missing_ok=True)


async def write_video(data: bytes, target: Path) -> None:
    """Write bytes that came inside an operation."""
    if not data:
        raise DownloadFailed("The operation holds a video of no bytes. Poll it again: that is free.")
    async with opened(target) as handle:
        await asyncio.to_thread(handle.write, data)
