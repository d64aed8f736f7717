"""The social_cuts flow: archived clips cut for further platforms, for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from prefect import flow, get_run_logger, tags
from prefect.client.schemas.objects import State
from prefect.states import Completed

from callsheet.batch.open import open_for, to_repair
from callsheet.batch.recut import ClipsToCut, CutsRequest, clips_to_cut, open_more_cuts
from callsheet.orchestration.artifacts import publish_cuts
from callsheet.orchestration.end_states import tell_mistakes
from callsheet.orchestration.forms import Clips, Focus, Platforms
from callsheet.orchestration.local_server import local_server
from callsheet.plan.grouping import groups
from callsheet.settings import load_settings
from tasks.on_demand import cut_more, list_more_cuts


@flow(
    name="social-cuts",
    flow_run_name="cuts of {of.label}",
    description="Cut archived clips for further platforms. Costs nothing; what is there is not cut again.",
    persist_result=False,
    validate_parameters=True,
)
@tell_mistakes
async def social_cuts(of: Clips, platforms: Platforms = ("9x16",), focus: Focus = None) -> Any:
    """Cut the clips of the batches that are meant, group by group.

    The cuts are listed where people look for them.

    Returns `exit_code` (3 when a cut could not be made) and what became of each batch. UsageError when there is no
    such batch, shot or platform.
    """
    asked = of.request(platforms, focus)
    made = [await _cut_batch(clips, asked) for clips in await clips_to_cut(load_settings(), asked)]
    return _final_state(made)


async def _cut_batch(clips: ClipsToCut, asked: CutsRequest) -> dict[str, Any]:
    batch = clips.batch
    settings = load_settings()
    async with open_for(to_repair(batch, settings), settings) as run:
        works = await open_more_cuts(run, asked.platforms, clips.shots, asked.focus)
        with tags(batch.campaign, batch.mode):
            parts = groups([work.shot.id for work in works])
            ended = await asyncio.gather(*(_group(part) for part in parts), return_exceptions=True)
            made = await list_more_cuts(batch.name)
            await publish_cuts(made)
    for error in ended:
        if isinstance(error, BaseException):
            raise error
    return made


async def _group(shots: Sequence[str]) -> None:
    name = shots[0] if len(shots) == 1 else f"{shots[0]} … {shots[-1]} ({len(shots)})"
    await cut_more(name, list(shots))


def _final_state(made: Sequence[dict[str, Any]]) -> State[dict[str, Any]]:
    created, reused, failed = (sum(one["cuts"][how] for one in made) for how in ("created", "reused", "failed"))
    for one in made:
        get_run_logger().info("%s: %s", one["batch"], one["cuts"])
    return Completed(
        name="Partly done" if failed else "Completed",
        message=f"{created} cuts made, {reused} there already" + (f", {failed} failed" if failed else ""),
        data={"exit_code": 3 if failed else 0, "batches": list(made)},
    )


if __name__ == "__main__":
    with local_server():
        social_cuts.serve(name="social-cuts", global_limit=1)
