"""Find and fetch what Agent Platform wrote to a bucket: videos, and evidence.

Evidence is for a submission whose reply was never seen: was it accepted, and what came of it? Google has no list of Veo
operations and no request ids (gemini-api reference, 2026-11-21). What is left live is a bucket: every attempt writes
under a prefix of its own, so an object there proves that it was accepted and has ended. The rehearsal service keeps
account of what it accepted, and every submission carries labels that name job and attempt.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2

from callsheet.errors import (
    ArchiveDenied,
    CallsheetError,
    DownloadFailed,
    DownloadStalled,
    NotRehearsal,
    OperationExpired,
    ServiceError,
    Unreachable,
)
from callsheet.files import Digests
from callsheet.gcs.access import GoogleAccess, RetryLimits, Stalled
from callsheet.keys import label_of
from callsheet.providers.access import Access, Way
from callsheet.providers.http_errors import describe_exception
from callsheet.providers.operations import MAX_VIDEO_BYTES
from callsheet.providers.partial_file import open_partial
from callsheet.providers.rehearsal_gate import RehearsalGate
from callsheet.providers.routing import Route
from callsheet.settings import OUTPUT_OFF, Settings

if TYPE_CHECKING:
    from callsheet.gcs.bucket import Bucket, ObjectInfo

# The folder of the archive that videos are written to when no other place is given.
INCOMING = "incoming"
T = TypeVar("T")

# Longest trouble before an answer about an object is given up, and before its bytes are, in seconds. Where nothing but
# slowness is wrong, that makes three turns of a minute, in each of which 256 KiB have to come.
LOOK_S, FETCH_S, FLOOR_S = 30.0, 120.0, 60.0


def output_root(settings: Settings, access: Access, route: Route) -> str | None:
    """Return the gs:// prefix for all videos of this route, None when there is none.

    Without a slash at its end. Only Agent Platform writes to buckets. Unless a place is given, only a project is
    trusted to have rights to the archive's bucket, an express key is not. A rehearsal needs a storage emulator.
    """
    is_video = route.provider in ("veo_agent", "omni") and route.way is not Way.GEMINI
    if not is_video or settings.video_output == OUTPUT_OFF:
        return None
    if access.mode == "rehearsal" and settings.storage_emulator_host is None:
        return None
    if settings.video_output is not None:
        return settings.video_output.rstrip("/")
    archive = settings.archive_uri
    return f"{archive}/{INCOMING}" if route.way is Way.PROJECT and archive.startswith("gs://") else None


def prefix_of(root: str, key: str, n: int) -> str:
    """Return the prefix of attempt `n` at a job, with a slash at its end."""
    return f"{root}/{label_of(key)}-{n}/"


TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class SubmissionEvidence:
    """What became of one submission, for certain.

    `operation` is the name to wait for when a video was accepted: an operation, or the gs:// object that it wrote.
    `charged_usd` is what was billed until now; None when that is not known.
    """

    accepted: bool
    operation: str | None = None
    charged_usd: Decimal | None = None


async def evidence_in(base_url: str, labels: tuple[tuple[str, str], ...], gate: RehearsalGate) -> SubmissionEvidence:
    """Return what the rehearsal service has accepted with these labels.

    It accepts no more of them afterwards. Raises Unreachable when it does not answer at `base_url`, or another server
    does.
    """
    hooks = gate.httpx2_hooks
    try:
        async with httpx2.AsyncClient(timeout=TIMEOUT_S, trust_env=False, event_hooks=hooks) as client:
            reply = await client.post(f"{base_url}evidence", json={"labels": dict(labels)})
        reply.raise_for_status()
        return _read_evidence(reply.json()["submissions"])
    except (httpx2.HTTPError, NotRehearsal, ServiceError, LookupError, TypeError, ArithmeticError, ValueError) as error:
        raise Unreachable(
            f"The rehearsal service could not be asked what it accepted: {describe_exception(error)}. Nothing was sent."
        ) from error


def _read_evidence(submissions: list[dict[str, Any]]) -> SubmissionEvidence:
    if not submissions:
        return SubmissionEvidence(accepted=False, charged_usd=Decimal(0))
    operation = next((each["operation"] for each in submissions if each["operation"]), None)
    charged = sum((Decimal(str(each["charged_usd"])) for each in submissions), Decimal(0))
    return SubmissionEvidence(accepted=True, operation=operation, charged_usd=charged)


_VIDEOS = frozenset(["mp4", "m4v", "mov", "webm", "mkv"])
_NO_VIDEOS = frozenset(
    [
        "json",
        "jsonl",
        "txt",
        "log",
        "csv",
        "xml",
        "html",
        "jpg",
        "jpeg",
        "png",
        "webp",
        "gif",
        "vtt",
        "srt",
        "tmp",
        "part",
    ]
)


async def evidence_under(bucket: BucketReader, prefix: str) -> SubmissionEvidence | None:
    """Return the video that an attempt wrote under its own prefix.

    None when there is none (yet): that proves nothing. Raises Unreachable when the bucket cannot be listed.
    """
    videos = [name for name in await bucket.names(prefix) if _rank_object(name) is not None]
    if not videos:
        return None
    return SubmissionEvidence(accepted=True, operation=min(videos, key=lambda name: (_rank_object(name), name)))


def _rank_object(name: str) -> int | None:
    """Return 0 for a video by its name, 1 for what may be one, None for what is none.

    Nobody promises how an attempt's video is called. What is beside it is no video.
    """
    stem, dot, ending = name.rpartition("/")[2].rpartition(".")
    kind = ending.lower() if dot and stem else ""
    if name.endswith("/") or kind in _NO_VIDEOS:
        return None
    return 0 if kind in _VIDEOS else 1


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
        from callsheet.gcs.fetch import Sink, fetch_whole
        from callsheet.gcs.upload import FileContent

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
