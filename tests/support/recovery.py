"""Recovery, looked at once nothing runs any more."""

from __future__ import annotations

import asyncio

from callsheet.batch.recover import recover_all
from callsheet.jobs.missing import Recovered
from callsheet.settings import Settings

PATIENCE_S = 20


async def recovered(settings: Settings) -> list[Recovered]:
    """What recovery tells once nothing runs any more."""
    for _ in range(PATIENCE_S * 10):
        found = await recover_all(settings)
        if not any(one.how == "running" for one in found):
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("the video is never done")
