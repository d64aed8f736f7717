"""The tasks of a batch: one per step of the pipeline, then archive and report."""

from __future__ import annotations

import time
from typing import Any

from prefect import task

from callsheet.batch.pipeline import run_step
from callsheet.batch.report import Report, write_report
from callsheet.context.context import current_run
from callsheet.orchestration.artifacts import publish_report
from callsheet.orchestration.run_events import tell_archived
from tasks.policy import POLICY, work_on


@task(name="images", task_run_name="images: {group}", tags=["images"], **POLICY)
async def images(group: str, shots: list[str]) -> dict[str, Any]:
    """Make every take of the group's shots."""
    return await run_step(*work_on("images", shots))


@task(name="frames", task_run_name="frames: {group}", tags=["frames"], **POLICY)
async def frames(group: str, shots: list[str]) -> dict[str, Any]:
    """Choose the takes to animate."""
    return await run_step(*work_on("frames", shots))


@task(name="clips", task_run_name="clips: {group}", tags=["clips"], **POLICY)
async def clips(group: str, shots: list[str]) -> dict[str, Any]:
    """Animate the chosen frames and wait for the videos."""
    return await run_step(*work_on("clips", shots))


@task(name="cuts", task_run_name="cuts: {group}", tags=["cuts"], **POLICY)
async def cuts(group: str, shots: list[str]) -> dict[str, Any]:
    """Make the clips ready for the platforms that the shots ask for."""
    return await run_step(*work_on("cuts", shots))


@task(name="archive", task_run_name="archive: {group}", tags=["archive"], **POLICY)
async def archive(group: str, shots: list[str]) -> dict[str, Any]:
    """Write the sidecars of the group's shots and record how they ended."""
    ended, state = await run_step(*work_on("archive", shots)), current_run().state
    tell_archived(current_run().batch, shots, (file for shot in shots for file in state.assets.get(shot, {}).values()))
    return ended


@task(name="report", task_run_name="report", tags=["report"], **POLICY)
async def report(started: float) -> Report:
    """Write gallery, catalogue and `_SUCCESS.json`, and publish the report.

    `started` is the monotonic start, seconds.
    """
    ended = await write_report(current_run(), time.monotonic() - started)
    await publish_report(current_run(), ended)
    return ended
