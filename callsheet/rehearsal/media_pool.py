"""The threads that make pictures and clips, so that the service goes on answering."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from callsheet.rehearsal import render_image

THREADS = 2
# With prerendering, this many pictures per size and format are shared by all requests.
POOL = 6

T = TypeVar("T")


class MediaPool:
    """Makes pictures and clips; clips and input pictures are files in `folder`."""

    def __init__(self, folder: Path, *, prerender: bool = False) -> None:
        self._inputs, self._clips = folder / "inputs", folder / "clips"
        for each in (self._inputs, self._clips):
            each.mkdir(parents=True, exist_ok=True)
        self._threads = ThreadPoolExecutor(THREADS, "studio")
        self._prerender = prerender
        self._pools: dict[tuple[int, int, str], asyncio.Task[list[str]]] = {}
        self._making: dict[str, asyncio.Task[Path]] = {}

    def close(self) -> None:
        """Let the threads end; what is being made is finished first."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def picture(self, wish: render_image.PictureSpec, draw: int) -> str:
        """Return the picture in base64.

        With prerendering the `draw`-th of a pool that shows no prompt.
        """
        if not self._prerender:
            return await self._run(_render_encoded, wish)
        key = (wish.width, wish.height, wish.mime_type)
        if key not in self._pools:
            self._pools[key] = asyncio.create_task(self._fill(*key))
        pool = await asyncio.shield(self._pools[key])
        return pool[draw % len(pool)]

    async def _fill(self, width: int, height: int, mime_type: str) -> list[str]:
        wishes = [
            render_image.PictureSpec(f"prerendered picture {n + 1}", width, height, mime_type, seed=n)
            for n in range(POOL)
        ]
        return [await self._run(_render_encoded, wish) for wish in wishes]

    def keep_input(self, data: bytes | None) -> str | None:
        """Store an input picture and return its sha256; None stays None.

        It is durable before it is named.
        """
        if data is None:
            return None
        digest = hashlib.sha256(data).hexdigest()
        path = self._inputs / digest
        if not path.exists():
            _write(path, data)
        return digest

    def input(self, digest: str | None) -> bytes | None:
        """Return a stored input picture."""
        return (self._inputs / digest).read_bytes() if digest else None

    def clip_path(self, file_id: str) -> Path:
        """Return where the clip of that file id is, or will be.

        Ids are letters and digits.
        """
        return self._clips / f"{file_id}.mp4"

    def forget_clip(self, file_id: str) -> None:
        """Delete a clip whose retention is over."""
        self.clip_path(file_id).unlink(missing_ok=True)

    async def clip(self, file_id: str, make: Callable[[], bytes]) -> Path:
        """Return the clip's file, made first where it is not there.

        Callers at the same time share one making.
        """
        path = self.clip_path(file_id)
        if path.exists():
            return path
        if file_id not in self._making:
            self._making[file_id] = asyncio.create_task(self._make(file_id, path, make))
        return await asyncio.shield(self._making[file_id])

    async def _make(self, file_id: str, path: Path, make: Callable[[], bytes]) -> Path:
        try:
            _write(path, await self._run(make))
        finally:
            del self._making[file_id]
        return path

    async def _run(self, make: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, make, *arguments)


def _render_encoded(wish: render_image.PictureSpec) -> str:
    return base64.b64encode(render_image.render(wish)).decode("ascii")


def _write(path: Path, data: bytes) -> None:
    """Write whole or not at all: a reader never sees half a file."""
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    part.write_bytes(data)
    part.replace(path)
