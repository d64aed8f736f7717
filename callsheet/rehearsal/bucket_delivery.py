"""Deliver videos to a bucket when they are due, as the Agent Platform does.

They are written whether or not anyone asks.
"""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import quote

import httpx2

from callsheet.rehearsal import replies
from callsheet.rehearsal.clip_files import clip, file_ids
from callsheet.rehearsal.errors import JsonObject
from callsheet.rehearsal.service import Service
from callsheet.rehearsal.state import Operation

INVALID_ARGUMENT, FAILED_PRECONDITION = 3, 9
TIMEOUT_S = 30.0
TRIES = 3

logger = logging.getLogger(__name__)


def schedule(service: Service, operation: Operation) -> None:
    """Write the operation's videos when it is due.

    There is nothing to do without an endpoint or a video.
    """
    if service.config.gcs_endpoint and operation.outcome == "made":
        service.keep(asyncio.create_task(_deliver_when_due(service, operation)))


def resume(service: Service) -> None:
    """Schedule what an earlier process accepted and did not write."""
    for operation in service.state.undelivered():
        schedule(service, operation)


async def result(service: Service, operation: Operation) -> JsonObject:
    """Return the ended operation: its objects' names, or why they were not written."""
    if (failure := await write(service, operation)) is not None:
        return replies.failed(operation.name, *failure)
    return replies.in_bucket(operation.name, object_uris(operation))


async def write(service: Service, operation: Operation) -> tuple[int, str] | None:
    """Write the operation's videos where they are to be.

    Returns None, or a code and why they were not written.
    """
    if not service.config.gcs_endpoint:
        message = (
            "The rehearsal service has no storage endpoint to write the storageUri to: set `gcs_endpoint` to the base "
            "URL of a storage emulator (STORAGE_EMULATOR_HOST), or leave storageUri out."
        )
        return FAILED_PRECONDITION, message
    if not _read_prefix(operation):
        return INVALID_ARGUMENT, f"storageUri must be gs://bucket/prefix: {operation.storage_uri!r}."
    try:
        await _deliver(service, operation)
    except httpx2.HTTPError as error:
        return FAILED_PRECONDITION, f"Cannot write to the storageUri: {error!r}"
    return None


def object_uris(operation: Operation) -> list[str]:
    """Return where the videos go, as Veo names them.

    The request's prefix, the operation's number, and the sample.
    """
    prefix = (operation.storage_uri or "").rstrip("/")
    return [f"{prefix}/{int(operation.id, 16)}/sample_{n}.mp4" for n in range(len(file_ids(operation)))]


async def _deliver_when_due(service: Service, operation: Operation) -> None:
    await service.clock.sleep(operation.due - service.now_s())
    for attempt in range(TRIES):
        try:
            await _deliver(service, operation)
        except (httpx2.HTTPError, ValueError) as error:
            # A poll tries again and tells the caller; here there is nobody to tell.
            logger.warning("Writing %s to its storageUri failed (try %d): %r", operation.name, attempt + 1, error)
            await asyncio.sleep(1)
        else:
            return


async def _deliver(service: Service, operation: Operation) -> None:
    """Write the operation's videos once, unless they are written.

    Once, for a reader may move them away at once.
    """
    async with service.deliveries[operation.name]:
        current = service.state.operation(operation.name)
        if current is not None and not current.delivered:
            await _upload(service, operation)
            service.state.delivered(operation.name)


async def _upload(service: Service, operation: Operation) -> None:
    """Upload the videos, each in one plain request.

    gcsfs would cost the service a second of start-up, and could reach a real bucket.
    """
    bucket, _, _ = _read_prefix(operation).partition("/")
    url = f"{(service.config.gcs_endpoint or '').rstrip('/')}/upload/storage/v1/b/{quote(bucket)}/o"
    async with httpx2.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
        for file_id, uri in zip(file_ids(operation), object_uris(operation), strict=True):
            name = uri.removeprefix(f"gs://{bucket}/")
            data = await clip(service, operation, file_id)
            reply = await client.post(
                url,
                params={"uploadType": "media", "name": name},
                headers={"Content-Type": "video/mp4"},
                content=data,
            )
            reply.raise_for_status()


def _read_prefix(operation: Operation) -> str:
    """Return `bucket/prefix` of a gs:// URI, empty when it is none."""
    scheme, _, rest = (operation.storage_uri or "").partition("://")
    return rest if scheme == "gs" and rest.split("/")[0] else ""
