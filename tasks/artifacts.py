"""What a batch publishes for the Prefect UI: plan, live progress, contact sheets, failures, spend and the gallery."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    aupdate_progress_artifact,
)

from callsheet.plan import Plan
from callsheet.progress import Progress
from callsheet.report.sheets import contact_sheet_markdown, failures_markdown, plan_markdown, spend_markdown
from callsheet.steps.contact import contact_sheets
from callsheet.steps.report import Report
from callsheet.studio import Studio

PROGRESS_EVERY_S = 2.0
# Contact sheets are pictures inside an artifact; a batch of thousands has the gallery.
SHEETS_AT_MOST = 6


@asynccontextmanager
async def bulletin(studio: Studio, plan: Plan) -> AsyncIterator[None]:
    """Publish the plan, and the batch's progress while the block runs."""
    key = artifact_key(studio.batch.name)
    await acreate_markdown_artifact(plan_markdown(plan), key=f"{key}-plan", description=f"Plan of {studio.batch.name}")
    progress = await acreate_progress_artifact(0.0, key=f"{key}-progress", description=_told(studio.progress))
    reporter = asyncio.create_task(_keep_telling(progress, studio.progress))
    try:
        yield
    finally:
        reporter.cancel()
        with suppress(asyncio.CancelledError):
            await reporter
        await _tell(progress, studio.progress)


async def publish_report(studio: Studio, ended: Report) -> None:
    """Publish contact sheets, failures, spend and the way to the gallery."""
    key, name = artifact_key(studio.batch.name), studio.batch.name
    sheets = await contact_sheets(studio.store, studio.batch.prefix, ended.sidecars, SHEETS_AT_MOST)
    if sheets:
        await acreate_markdown_artifact(
            contact_sheet_markdown(sheets),
            key=f"{key}-contact-sheet",
            description=f"Takes of {name}, chosen ones marked",
        )
    await acreate_markdown_artifact(
        failures_markdown(ended.sidecars), key=f"{key}-failures", description=f"What did not work in {name}, and why"
    )
    await acreate_markdown_artifact(spend_markdown(ended.summary), key=f"{key}-spend", description=f"Spend of {name}")
    link = str(ended.summary["gallery"])
    await acreate_link_artifact(
        link if "://" in link else f"file://{link}",
        link_text="Gallery",
        key=f"{key}-gallery",
        description=f"Gallery of {name}",
    )


def artifact_key(batch: str) -> str:
    """The batch's name in the letters that artifact keys may have: a-z, 0-9 and dashes (Prefect 3.8.8)."""
    return re.sub(r"[^a-z0-9]+", "-", batch.lower()).strip("-") or "batch"


async def _keep_telling(artifact: UUID, progress: Progress) -> None:
    while True:
        await asyncio.sleep(PROGRESS_EVERY_S)
        await _tell(artifact, progress)


async def _tell(artifact: UUID, progress: Progress) -> None:
    await aupdate_progress_artifact(artifact, progress.percent, description=_told(progress))


def _told(progress: Progress) -> str:
    return progress.as_text()
