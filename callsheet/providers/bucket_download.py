"""Find and fetch videos that Agent Platform wrote to a bucket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from callsheet.errors import (
    ArchiveDenied,
    CallsheetError,
    DownloadFailed,
    DownloadStalled,
    OperationExpired,
    Unreachable,
)
from callsheet.files import Digests
from callsheet.gcs.access import GoogleAccess
from callsheet.gcs.patience import RetryLimits, Stalled
from callsheet.providers.operations import MAX_VIDEO_BYTES
from callsheet.providers.partial_file import open_partial

if TYPE_CHECKING:
    from callsheet.gcs.bucket import Bucket, ObjectInfo

T = TypeVar("T")

# Longest trouble before an answer about an object is given up, and before its bytes are, in seconds. Where nothing but
# slowness is wrong, that makes three turns of a minute, in each of which 256 KiB have to come.
LOOK_S, FETCH_S, FLOOR_S = 30.0, 120.0, 60.0


class BucketReader:
    """A reader of gs:// objects over this process's connection for `access`.

    The connection is opened at first use. A rehearsal reads only from an emulator: its videos are never in a real
    bucket.
    """

    def __init__(self, access: GoogleAccess, *, rehearsal: bool) -> None:
        self._access = access
        self._refused = rehearsal and access.endpoint is None
        self._buckets: dict[tuple[str, float], Bucket] = {}

    async def fetch(self, uri: str, target: Path) -> None:
        """Write the object to `target` and check it by the bucket's md5 or crc32c.

        Raises DownloadFailed unless it comes whole; OperationExpired when the bucket is there and the object is not.
        """
        if self._refused:
            raise DownloadFailed(f"The rehearsal named {uri[:200]}: not fetched. Set STORAGE_EMULATOR_HOST for it.")
        try:
            found = await self._fetch(uri, target)
        except ArchiveDenied as error:
            raise DownloadFailed(f"The video cannot be read: {error}") from error
        except CallsheetError as error:
            # Patience is over: what is slow or broken off for minutes is left to the next run.
            cls = DownloadStalled if isinstance(error.__cause__, Stalled) else DownloadFailed
            raise cls(f"{uri[:200]} could not be read: {error} Fetching it again is free.") from error
        if found is None:
            raise OperationExpired(f"{uri[:200]} is not in its bucket any more; the video must be made again.")

    async def names(self, prefix: str) -> list[str]:
        """List the gs:// names of all objects under `prefix`, sorted.

        Raises Unreachable when they cannot be listed.
        """

        async def look(bucket: Bucket, key: str) -> list[str]:
            found, token = await bucket.page(key, None)
            while token:
                page, token = await bucket.page(key, token)
                found |= page
            return sorted(bucket.uri(name) for name in found)

        return await self._ask(prefix, look)

    async def holds(self, uri: str) -> bool:
        """Return whether the object is there; Unreachable when nobody can say."""

        async def look(bucket: Bucket, key: str) -> bool:
            return await bucket.find(key) is not None

        return await self._ask(uri, look)

    async def aclose(self) -> None:
        """Close the connection."""
        for bucket in self._buckets.values():
            await bucket.aclose()
        self._buckets.clear()

    async def _ask(self, uri: str, look: Callable[[Bucket, str], Awaitable[T]]) -> T:
        if self._refused:
            raise Unreachable(f"A rehearsal looks into no real bucket ({uri[:200]}): set STORAGE_EMULATOR_HOST.")
        try:
            bucket, key = self._place(uri, LOOK_S)
            return await bucket.effort(key).of(lambda: look(bucket, key))
        except CallsheetError as error:
            raise Unreachable(f"{uri[:200]} could not be looked for: {error} Looking again is free.") from error

    async def _fetch(self, uri: str, target: Path) -> ObjectInfo | None:
        from callsheet.gcs.content import FileContent
        from callsheet.gcs.fetch import Sink, fetch_whole

        bucket, key = self._place(uri, FETCH_S)
        async with open_partial(target) as stream:
            found = await fetch_whole(bucket, key, Sink(stream), _wrong, MAX_VIDEO_BYTES)
            if found is None:
                # A server may not say whether it is the bucket that is missing; a listing is refused then.
                await bucket.effort(key).of(lambda: bucket.page(key, None))
                return None
            stream.flush()
            if not found.size:
                raise DownloadFailed(f"{uri[:200]} has no bytes. Fetching it again is free.")
            if not found.md5 and found.crc32c != (await FileContent(target, found.size).checksums()).crc32c:
                raise DownloadFailed(f"{uri[:200]} came with other bytes than the bucket tells. Fetch it again.")
        return found

    def _place(self, uri: str, give_up_s: float) -> tuple[Bucket, str]:
        # With gcsfs and aiohttp it takes some 0.4 s to import, and only Agent Platform with a bucket needs it.
        from callsheet.gcs.bucket import Bucket

        name, _, key = uri.removeprefix("gs://").partition("/")
        if (name, give_up_s) not in self._buckets:
            self._buckets[name, give_up_s] = Bucket(
                name, self._access, RetryLimits(stall_s=min(FLOOR_S, give_up_s), give_up_s=give_up_s)
            )
        return self._buckets[name, give_up_s], key


def _wrong(found: ObjectInfo, came: Digests) -> str:
    if found.md5 and came.md5 != found.md5:
        return f"the bytes received have the md5 {came.md5}, not {found.md5}"
    return ""
