"""Videos that were fetched, from a scratch file to the spool.

Looked at, durable, and described for the ledger.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from callsheet.archive.spool import Spooled
from callsheet.context.context import RunContext
from callsheet.context.poller import Watch
from callsheet.errors import BadImage, CallsheetError, DownloadFailed, MediaError, ProviderError
from callsheet.jobs.output_bucket import OUTPUT
from callsheet.jobs.persist import persist
from callsheet.ledger import Job, JobResult
from callsheet.ledger.records import OTHERS, RATINGS, RECORD, REQUEST_ID, TEXT
from callsheet.media.containers import HEAD_BYTES, video_type
from callsheet.media.facts import VideoProbe
from callsheet.media.probe import probe_foreign, probe_image, probe_video
from callsheet.providers.protocol import ImageResult, Picture, VideoReady
from callsheet.providers.video_addresses import object_of
from callsheet.sources import Places, refusal


async def keep_picture(run: RunContext, result: ImageResult, usd: Decimal) -> JobResult:
    """Keep the reply's pictures in the spool, as a result for the ledger.

    All of them are durable then. The first cost `usd`.
    """
    try:
        probe = await asyncio.to_thread(probe_image, result.data)
    except MediaError as error:
        raise BadImage(
            f"The provider answered with bytes that are no whole picture: {error}", reason="BAD_IMAGE"
        ) from error
    file = await _spooled(run, result.data)
    details: dict[str, Any] = {
        "model_version": result.model_version, "response_id": result.response_id, "tokens": result.tokens
    }  # fmt: skip
    if result.request_id:
        details[REQUEST_ID] = result.request_id
    if result.safety_ratings:
        details[RATINGS] = [dict(one) for one in result.safety_ratings]
    if result.others:
        details[OTHERS] = [_describe_picture(one, await _spooled(run, one.data)) for one in result.others]
    if result.text:
        details[TEXT] = result.text
    if result.is_thought:
        details["warning"] = "The reply's only picture was marked as a thought, an interim one."
    return JobResult(
        sha256=file.sha256,
        md5=file.md5,
        size=file.size,
        mime_type=probe.mime_type,
        width=probe.width,
        height=probe.height,
        duration_s=None,
        details=details,
        usd=usd,
    )


async def _spooled(run: RunContext, data: bytes) -> Spooled:
    return await persist(run, lambda: asyncio.to_thread(run.resources.spool.write, data), "a picture")


def _describe_picture(picture: Picture, file: Spooled) -> dict[str, Any]:
    return {
        "sha256": file.sha256, "md5": file.md5, "size": file.size, "mime_type": picture.mime_type,
        "width": picture.width, "height": picture.height, "thought": picture.is_thought,
    }  # fmt: skip


log = logging.getLogger(__name__)

# A video may be this much shorter or longer than ordered (a frame or two, or the sound's last packet), in seconds.
TOLERANCE_S = 0.5
# What everything else here can read.
_TAKEN = frozenset({"video/mp4", "video/quicktime"})


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole video in the spool.

    `odd` says what it is that was not ordered, "" for nothing.
    """

    file: Spooled
    mime_type: str
    probe: VideoProbe
    odd: str = ""


async def fetch_once(run: RunContext, job: Job, watch: Watch, ready: VideoReady) -> Fetched:
    """Return the video, fetched into the spool.

    What came damaged (MediaError) is kept as evidence beside it.
    """
    if ready.data is None:
        await check_source(run, job, ready.uri or "")
    target = run.resources.spool.scratch(".mp4")
    try:
        async with run.resources.downloads.turn(watch.expires.timestamp()):
            await watch.provider.download(ready, target)
        mime_type, probe = await asyncio.to_thread(_looked_at, target)
        file = await persist(run, lambda: asyncio.to_thread(run.resources.spool.adopt, target), watch.operation)
        return Fetched(file, mime_type, probe, _odd(job, mime_type, probe))
    except MediaError as error:
        kept = await asyncio.to_thread(_keep_damaged, run, job, target)
        raise MediaError(f"{error}{kept}") from error
    except ProviderError:
        await asyncio.to_thread(_discard, target)
        raise
    except OSError as error:
        await asyncio.to_thread(_discard, target)
        raise DownloadFailed(f"It could not be written to {target.parent}: {error.strerror or error}.") from error


async def keep_others(run: RunContext, job: Job, watch: Watch, ready: VideoReady) -> list[dict[str, Any]]:
    """Return the further videos of the operation, in the spool and described.

    One that cannot be had is told, not raised.
    """
    described = []
    for number, other in enumerate(ready.others, 2):
        try:
            described.append(_describe_video(await fetch_once(run, job, watch, other)))
        except CallsheetError as error:
            log.warning("Video %d of %s could not be fetched: %s", number, watch.operation, error)
            described.append({"failure": f"Video {number} of the operation could not be fetched: {error}"[:1000]})
    return described


def video_job_result(fetched: Fetched, ready: VideoReady, usd: Decimal, others: list[dict[str, Any]]) -> JobResult:
    """Return what the ledger keeps of a fetched video, which cost `usd`."""
    probe = fetched.probe
    details: dict[str, Any] = {
        "fps": probe.fps, "video_codec": probe.video_codec, "audio_codec": probe.audio_codec
    }  # fmt: skip
    if ready.uri is not None and ready.uri.startswith("gs://"):
        details[OUTPUT] = ready.uri
    if ready.record:
        details[RECORD] = dict(ready.record)
    if ready.request_id:
        details[REQUEST_ID] = ready.request_id
    if ready.tokens:
        details["tokens"] = dict(ready.tokens)
    if others:
        details[OTHERS] = others
    return JobResult(
        sha256=fetched.file.sha256,
        md5=fetched.file.md5,
        size=fetched.file.size,
        mime_type=fetched.mime_type,
        width=probe.width,
        height=probe.height,
        duration_s=probe.duration_s,
        details=details | ({"warning": fetched.odd} if fetched.odd else {}),
        usd=usd,
    )


async def check_source(run: RunContext, job: Job, address: str) -> None:
    """Raise DownloadFailed for a bucket's file that only a sidecar led to.

    That is, one that no place of ours holds. An operation that this ledger sent is its provider's word. One that a
    sidecar told of may be anybody's, and what it names would be copied with our rights to where others can read it.
    """
    name = object_of(address) or (address if "://" in address and not address.startswith("http") else None)
    if name is None:
        return
    attempts = await run.resources.ledger.attempts_on(job.key)
    if all(one.output is not None for one in attempts):
        return  # of its own attempts a ledger knows where they were to write
    settings, own = run.resources.settings, [one.output for one in attempts]
    roots = (run.resources.store.uri, settings.video_output, *settings.input_roots, *own)
    places = Places.of(root for root in roots if root and root.startswith("gs://"))
    if places.find(name) is None:
        raise DownloadFailed(f"{refusal(name)} Only a sidecar tells of its operation.")


def _looked_at(path: Path) -> tuple[str, VideoProbe]:
    """MIME type by its bytes, and probe; MediaError unless it is a whole video."""
    with path.open("rb") as file:
        mime_type, container = video_type(file.read(HEAD_BYTES)) or ("video/mp4", "mp4")
    return mime_type, (probe_video if container == "mp4" else probe_foreign)(path)


def _odd(job: Job, mime_type: str, probe: VideoProbe) -> str:
    """Return what is odd about a whole video, in sentences; "" when it is as ordered."""
    said = [] if mime_type in _TAKEN else [f"It is {mime_type}, kept as it came; cuts are made of MP4 alone."]
    ordered = job.request.get("duration_s")
    if isinstance(ordered, int | float) and abs(probe.duration_s - ordered) > TOLERANCE_S:
        said.append(f"It is {probe.duration_s:.2f} s long, and {ordered} s were ordered.")
    return " ".join(said)


def _describe_video(fetched: Fetched) -> dict[str, Any]:
    return {
        "sha256": fetched.file.sha256, "md5": fetched.file.md5, "size": fetched.file.size,
        "mime_type": fetched.mime_type, "width": fetched.probe.width, "height": fetched.probe.height,
    }  # fmt: skip


def _keep_damaged(run: RunContext, job: Job, path: Path) -> str:
    """Keep what came, the newest of each job; returns a sentence that names it."""
    if not path.stat().st_size:
        _discard(path)
        return ""
    kept = run.resources.spool.damaged(job.key)
    with suppress(OSError):
        shutil.move(path, kept)
        return f" What came is kept as evidence: {kept}."
    _discard(path)
    return ""


def _discard(path: Path) -> None:
    path.unlink(missing_ok=True)
