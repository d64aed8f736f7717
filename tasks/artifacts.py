"""What a batch publishes for the Prefect UI: plan, live progress, contact sheets, failures, spend and the gallery.

None of it is needed for the batch itself: what cannot be published is told in the log, and the batch goes on.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    aupdate_progress_artifact,
)

from callsheet.plan import Plan
from callsheet.report.account import spend_markdown
from callsheet.report.asking import approval_markdown
from callsheet.report.links import link_to
from callsheet.report.progress import progress_sentence
from callsheet.report.sheets import contact_sheet_markdown, failures_markdown, plan_markdown
from callsheet.steps.account import account_of
from callsheet.steps.contact import contact_sheets
from callsheet.steps.report import Report
from callsheet.studio import Studio

log = logging.getLogger(__name__)

PROGRESS_EVERY_S = 2.0


@asynccontextmanager
async def bulletin(studio: Studio, plan: Plan) -> AsyncIterator[None]:
    """Publish the plan, and the batch's progress while the block runs."""
    await _published("plan", _markdown(studio, "plan", plan_markdown(plan), f"What {studio.batch.name} will do"))
    reporter = asyncio.create_task(_keep_telling(studio))
    try:
        yield
    finally:
        reporter.cancel()
        with suppress(asyncio.CancelledError):
            await reporter


async def publish_report(studio: Studio, ended: Report) -> None:
    """Publish contact sheets, failures, spend against budget and quota, and the way to the gallery."""
    name = studio.batch.name
    await _published("contact sheet", _contact_sheets(studio, ended))
    if asked := approval_markdown(ended.sidecars):
        await _published("approval", _markdown(studio, "approval", asked, f"What waits for approval in {name}"))
    found = failures_markdown(ended.sidecars)
    await _published("failures", _markdown(studio, "failures", found, f"What did not work in {name}, and what to do"))
    await _published("spend", _spend(studio, ended))
    await _published("gallery", _gallery(studio, str(ended.summary["gallery"])))


def artifact_key(batch: str) -> str:
    """The batch's name in the letters that artifact keys may have: a-z, 0-9 and dashes (Prefect 3.8.8)."""
    return re.sub(r"[^a-z0-9]+", "-", batch.lower()).strip("-") or "batch"


async def _published(what: str, publishing: Coroutine[Any, Any, Any]) -> None:
    try:
        await publishing
    except Exception:  # whatever the server or the archive has: the batch is worth more than its bulletin
        log.warning("The %s could not be published. The batch goes on without it.", what, exc_info=True)


async def _markdown(studio: Studio, part: str, text: str, description: str) -> None:
    key = f"{artifact_key(studio.batch.name)}-{part}"
    await acreate_markdown_artifact(text, key=key, description=description)


async def _contact_sheets(studio: Studio, ended: Report) -> None:
    sheets = await contact_sheets(studio.store, studio.batch.prefix, ended.sidecars)
    if sheets:
        text = contact_sheet_markdown(sheets)
        await _markdown(studio, "contact-sheet", text, f"Takes of {studio.batch.name}, chosen ones in green")


async def _spend(studio: Studio, ended: Report) -> None:
    assert studio.plan is not None  # noqa: S101  narrows the type: there is no report without a plan
    text = spend_markdown(ended.summary, await account_of(studio, studio.plan))
    await _markdown(studio, "spend", text, f"Spend of {studio.batch.name} against budget and quota")


async def _gallery(studio: Studio, uri: str) -> None:
    """A browser opens no `file:` link from a page of a server, so the place is told as well."""
    key, name = f"{artifact_key(studio.batch.name)}-gallery", studio.batch.name
    await acreate_link_artifact(
        link_to(uri), link_text=f"Gallery of {name}", key=key, description=f"Gallery of {name}: `{uri}`"
    )


async def _keep_telling(studio: Studio) -> None:
    """Update the progress until cancelled, and once more then."""
    key, artifact = f"{artifact_key(studio.batch.name)}-progress", None
    try:
        while True:
            artifact = await _tell(studio, key, artifact)
            await asyncio.sleep(PROGRESS_EVERY_S)
    finally:
        await _tell(studio, key, artifact)


async def _tell(studio: Studio, key: str, artifact: UUID | None) -> UUID | None:
    """Show how far the batch is; the artifact's id, None while there is none because the server did not take it."""
    percent = studio.progress.percent
    try:
        spent = await studio.ledger.spent_on_batch(studio.batch.name)
        told = progress_sentence(studio.batch, studio.progress, spent)
        if artifact is None:
            return await acreate_progress_artifact(percent, key=key, description=told)
        await aupdate_progress_artifact(artifact, percent, description=told)
    except Exception:  # as above
        log.warning("The progress could not be shown. The batch goes on; it is shown again soon.", exc_info=True)
    return artifact
