"""Pictures of a reply, from memory to the spool: durable, and described for the ledger."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

from callsheet.archive.spool import Spooled
from callsheet.context.context import Studio
from callsheet.errors import BadImage, MediaError
from callsheet.ledger import JobResult
from callsheet.media.probe import probe_image
from callsheet.providers.protocol import ImageResult, Picture
from callsheet.steps.details import OTHERS, RATINGS, REQUEST_ID, TEXT
from callsheet.steps.persist import persist


async def keep_picture(studio: Studio, result: ImageResult, usd: Decimal) -> JobResult:
    """The reply's picture, and all others in it, durable in the spool, as a result for the ledger. It cost `usd`."""
    try:
        probe = await asyncio.to_thread(probe_image, result.data)
    except MediaError as error:
        raise BadImage(
            f"The provider answered with bytes that are no whole picture: {error}", reason="BAD_IMAGE"
        ) from error
    file = await _spooled(studio, result.data)
    details: dict[str, Any] = {
        "model_version": result.model_version, "response_id": result.response_id, "tokens": result.tokens
    }  # fmt: skip
    if result.request_id:
        details[REQUEST_ID] = result.request_id
    if result.safety_ratings:
        details[RATINGS] = [dict(one) for one in result.safety_ratings]
    if result.others:
        details[OTHERS] = [_described(one, await _spooled(studio, one.data)) for one in result.others]
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


async def _spooled(studio: Studio, data: bytes) -> Spooled:
    return await persist(studio, lambda: asyncio.to_thread(studio.spool.write, data), "a picture")


def _described(picture: Picture, file: Spooled) -> dict[str, Any]:
    return {
        "sha256": file.sha256, "md5": file.md5, "size": file.size, "mime_type": picture.mime_type,
        "width": picture.width, "height": picture.height, "thought": picture.is_thought,
    }  # fmt: skip
