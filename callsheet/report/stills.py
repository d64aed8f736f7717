"""Small pictures from a bucket, as data URIs: a page cannot load a `gs://` address."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from callsheet.archive import layout
from callsheet.archive.store import Store
from callsheet.errors import ArchiveError, MediaError
from callsheet.media.stills import small_picture

log = logging.getLogger(__name__)

_AT_ONCE = 8
_MAX_STILL = 4 * 1024 * 1024
_SIDE, _QUALITY = 480, 78


async def stills(store: Store, assets: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The stills of these assets by their sha256; what has none, or one that cannot be read, is left out."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def still(name: str) -> str | ArchiveError | MediaError:
        async with limit:
            try:
                data = await store.read_bytes(name, _MAX_STILL)
                return await asyncio.to_thread(_data_uri, data)
            except (ArchiveError, MediaError) as error:
                return error

    names = {asset["sha256"]: _still_name(asset) for asset in assets}
    wanted = {sha256: name for sha256, name in names.items() if name}
    made = dict(zip(wanted, await asyncio.gather(*map(still, wanted.values())), strict=True))
    if failed := [one for one in made.values() if not isinstance(one, str)]:
        log.warning("%d of %d stills are not on the page. The first: %s", len(failed), len(made), failed[0])
    return {sha256: one for sha256, one in made.items() if isinstance(one, str)}


def _still_name(asset: Mapping[str, Any]) -> str:
    own = asset["file"] if asset["kind"] == "poster" else ""
    folder = layout.shot_folder(f"{asset['campaign']}/{asset['batch']}", asset["shot"])
    return f"{folder}/{asset['thumbnail'] or own}" if asset["thumbnail"] or own else ""


def _data_uri(data: bytes) -> str:
    """The picture at the size of a card."""
    buffer = io.BytesIO()
    small_picture(data, _SIDE).convert("RGB").save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
