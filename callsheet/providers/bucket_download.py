"""Finding and fetching a video that Agent Platform wrote to a bucket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from callsheet.errors import DownloadFailed, OperationExpired, Unreachable
from callsheet.providers.http_errors import told
from callsheet.providers.operations import MAX_VIDEO_BYTES

T = TypeVar("T")

# Longest wait for an answer about an object, seconds.
LOOK_S = 30.0


class BucketReader:
    """Reads gs:// objects with Google's credentials, or from the emulator at `emulator`; opened at first use.

    A rehearsal reads only from an emulator: its videos are never in a real bucket.
    """

    def __init__(self, *, emulator: str | None, rehearsal: bool) -> None:
        self._emulator = emulator
        self._refused = rehearsal and emulator is None
        self._lock = asyncio.Lock()
        self._files: Any = None

    async def fetch(self, uri: str, target: Path) -> None:
        """Write the object to `target`; DownloadFailed unless it comes whole, OperationExpired when it is gone."""
        if self._refused:
            raise DownloadFailed(f"The rehearsal named {uri[:200]}, but STORAGE_EMULATOR_HOST is not set. Set it.")
        try:
            await self._ready()
            await asyncio.to_thread(self._copy, uri, target)
        except FileNotFoundError:
            raise OperationExpired(
                f"{uri[:200]} is not in its bucket any more; the video must be made again."
            ) from None
        except DownloadFailed:
            raise
        except Exception as error:
            raise DownloadFailed(f"{uri[:200]} could not be read: {told(error)}. Fetching it again is free.") from None

    async def names(self, prefix: str) -> list[str]:
        """The gs:// names of all objects under `prefix`, sorted; Unreachable when they cannot be listed."""
        return await self._asked(prefix, self._find)

    async def holds(self, uri: str) -> bool:
        """Whether the object is there; Unreachable when nobody can tell."""
        return await self._asked(uri, self._is_object)

    async def _asked(self, uri: str, look: Callable[[str], T]) -> T:
        if self._refused:
            raise Unreachable(f"A rehearsal looks into no real bucket ({uri[:200]}): set STORAGE_EMULATOR_HOST.")
        try:
            await self._ready()
            async with asyncio.timeout(LOOK_S):  # gcsfs itself goes on trying for minutes
                return await asyncio.to_thread(look, uri)
        except Exception as error:
            raise Unreachable(f"{uri[:200]} could not be looked for: {told(error)}. Looking again is free.") from None

    async def _ready(self) -> None:
        async with self._lock:
            if self._files is None:
                self._files = await asyncio.to_thread(self._open)

    def _find(self, prefix: str) -> list[str]:
        try:
            return sorted(f"gs://{name}" for name in self._files.find(prefix))
        except FileNotFoundError:
            return []

    def _is_object(self, uri: str) -> bool:
        try:
            return bool(self._files.info(uri)["type"] == "file")
        except FileNotFoundError:
            return False

    def _open(self) -> Any:
        # gcsfs would ask for the bucket's type over gRPC first, 39 s and more where that is blocked (2026.10.1).
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        import gcsfs  # slow to import, and only Agent Platform with a bucket needs it

        given: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False, "token": "google_default"}
        if self._emulator:
            url = self._emulator if "://" in self._emulator else f"http://{self._emulator}"
            given |= {"endpoint_url": url.rstrip("/"), "token": "anon"}
        return gcsfs.GCSFileSystem(**given)

    def _copy(self, uri: str, target: Path) -> None:
        size = int(self._files.info(uri)["size"])
        if not 0 < size <= MAX_VIDEO_BYTES:
            raise DownloadFailed(f"{uri[:200]} has {size} bytes; between 1 and {MAX_VIDEO_BYTES} are taken.")
        try:
            self._files.get_file(uri, str(target))
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        if target.stat().st_size != size:
            raise DownloadFailed(
                f"{uri[:200]} came with {target.stat().st_size} of {size} bytes. Fetching it again is free."
            )
