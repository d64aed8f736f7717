"""A batch that a process left behind with its video submitted, made in this process with real parts."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from callsheet.batch.open import open_run
from callsheet.batch.request import RunRequest
from callsheet.batch.start import open_batch
from callsheet.context.context import RunContext
from callsheet.context.shot_state import ShotState
from callsheet.ledger import JobState
from callsheet.settings import Settings, load_settings
from callsheet.steps.archive import write_shot
from callsheet.steps.clips import make_clips
from callsheet.steps.frames import choose_takes
from callsheet.steps.images import make_images
from tests.support.service import Service

SHEET = "id,prompt,takes,seed,motion_prompt,duration_s\nkite,A kite over dunes,1,5,It climbs,4\n"
BATCH = "sheet.rehearsal"


def settings_at(service: Service, folder: Path, **given: Any) -> Settings:
    return load_settings(home=folder / "home", gemini_base_url=service.url, **given)


def request_in(folder: Path) -> RunRequest:
    (folder / "sheet.csv").write_text(SHEET)
    return RunRequest(str(folder / "sheet.csv"))


class Unanswered:
    """A poller that never hears of an end: on a busy machine the video is done before whoever waits for it is gone."""

    async def result(self, _watch: object) -> None:
        await asyncio.Event().wait()


async def leave_behind(request: RunRequest, settings: Settings) -> None:
    """Make the picture, submit the video, and be gone before it is done."""
    async with open_run(request, settings) as (run, asked):
        await open_batch(run, asked)
        [work] = run.state.hold(asked.shots)
        await framed(run, work)
        run = replace(run, resources=replace(run.resources, poller=cast(Any, Unanswered())))
        waiting = asyncio.create_task(make_clips(run, work))
        while JobState.SUBMITTED not in [job.state for job in await run.resources.ledger.jobs_of(BATCH)]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting


async def give_up_waiting(request: RunRequest, settings: Settings) -> None:
    """Make the picture, submit the video, wait for it in vain, and write the sidecar."""
    async with open_run(request, settings) as (run, asked):
        await open_batch(run, asked)
        [work] = run.state.hold(asked.shots)
        await framed(run, work)
        await make_clips(run, work)
        await write_shot(run, work)


async def framed(run: RunContext, work: ShotState) -> None:
    await make_images(run, work)
    await choose_takes(run, work)
