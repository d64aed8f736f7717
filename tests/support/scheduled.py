"""Runs of deployments carried out in one process: what a worker would start a process for each.

`tests.forked.Forge` runs `main`; its arguments are ids of flow runs, and those joined by "+" run side by side.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.flow_engine import run_flow

from flows.content_batch import content_batch


async def _carry_out(run_id: str) -> None:
    async with get_client() as client:
        run = await client.read_flow_run(UUID(run_id))
    carried_out: Any = run_flow(content_batch, flow_run=run, return_type="state")
    await carried_out


async def _carry_out_all(places: list[str]) -> None:
    for place in places:
        await asyncio.gather(*(_carry_out(run_id) for run_id in place.split("+")))


def main() -> None:
    """Carry out the runs, one after the other."""
    asyncio.run(_carry_out_all(sys.argv[1:]))
