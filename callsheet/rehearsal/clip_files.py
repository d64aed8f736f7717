"""The clips of an operation, as files.

They are made when first requested, and are the same after a restart.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from callsheet.rehearsal.service import Service
from callsheet.rehearsal.state import Operation


def file_ids(operation: Operation) -> list[str]:
    """Return the ids of the operation's files: its own id and a digit."""
    return [f"{operation.id}{sample}" for sample in range(int(read_ask(operation)["samples"]))]


async def clip(service: Service, operation: Operation, file_id: str) -> bytes:
    """Return the bytes of one of the operation's files, made at the first call."""
    path = await service.media.clip(file_id, _choose_maker(service, operation, int(file_id[-1])))
    return path.read_bytes()


def _choose_maker(service: Service, operation: Operation, sample: int) -> Callable[[], bytes]:
    ask = read_ask(operation)
    first, last = service.media.input(ask["first"]), service.media.input(ask["last"])

    def make() -> bytes:
        # Imported on the thread, at the first clip: PyAV takes a fifth of a second to load.
        from callsheet.rehearsal import render_video

        wish = render_video.ClipWish(
            prompt=ask["prompt"],
            width=ask["width"],
            height=ask["height"],
            duration_s=ask["duration_s"],
            seed=ask["seed"],
            take=operation.take + sample,
            audio=ask["audio"],
            first_frame=first,
            last_frame=last,
        )
        return render_video.render(wish)

    return make


def read_ask(operation: Operation) -> dict[str, Any]:
    """Return the request that the operation was submitted with."""
    loaded: dict[str, Any] = json.loads(operation.ask)
    return loaded


def expired(service: Service, operation: Operation) -> bool:
    """Return whether the retention of the operation and its files is over."""
    return service.now_s() > operation.due + service.config.retention_s
