"""A batch's pages in the Prefect UI.

They are plan, live progress, contact sheets, failures, spend and the gallery.

None of it is needed for the batch itself: what cannot be published is told in the log, and the batch goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from prefect.artifacts import (
    acreate_link_artifact,
    acreate_progress_artifact,
    aupdate_progress_artifact,
)

from callsheet.archive.layout import link_to
from callsheet.archive.sidecar import Sidecar
from callsheet.batch.account import account_of
from callsheet.batch.report import Report
from callsheet.context.context import RunContext
from callsheet.orchestration.artifacts import artifact_key, form_link, publish_markdown, published
from callsheet.plan import Plan
from callsheet.plan.grouping import groups
from callsheet.report.account import spend_markdown
from callsheet.report.approval import approval_markdown, waiting_for_approval
from callsheet.report.contact_sheets import SHEETS_AT_MOST, contact_sheets, sheet_of
from callsheet.report.markdown import (
    ContactSheet,
    contact_sheet_markdown,
    failures_markdown,
    plan_markdown,
    progress_sentence,
)

SHOW_EVERY_S = 5.0


async def publish_sheets(run: RunContext, sidecars: Sequence[Sidecar]) -> None:
    """Publish the sheets of all shots.

    They take the place of those that were published while the batch ran.
    """
    await _publish(run, await contact_sheets(run.resources.store, run.batch.prefix, sidecars))


async def keep_showing(run: RunContext) -> None:
    """Publish each group's sheet once its shots have ended, until cancelled.

    A sheet is drawn once, and there are at most 24: so often at most is the artifact written. Of a batch in shards it
    shows what this process makes itself; the others come with the report.
    """
    drawn: dict[tuple[str, ...], ContactSheet | None] = {}
    while True:
        await asyncio.sleep(SHOW_EVERY_S)
        await published("contact sheet so far", _show_more(run, drawn))


async def _show_more(run: RunContext, drawn: dict[tuple[str, ...], ContactSheet | None]) -> None:
    """Draw the groups that have ended since, and publish all that are drawn."""
    places = [tuple(shots) for shots in groups(list(run.state.work), SHEETS_AT_MOST)]
    ended = [place for place in places if place not in drawn and all(shot in run.state.sidecars for shot in place)]
    for place in ended:
        group = [run.state.sidecars[shot][0] for shot in place]
        drawn[place] = await sheet_of(run.resources.store, run.batch.prefix, group, stills=len(places[0]) == 1)
    if any(drawn[place] for place in ended):
        await _publish(run, [sheet for place in places if (sheet := drawn.get(place))])


async def _publish(run: RunContext, sheets: Sequence[ContactSheet]) -> None:
    if sheets:
        name = run.batch.name
        await publish_markdown(name, "contact-sheet", contact_sheet_markdown(sheets), _about(name))


def _about(batch: str) -> str:
    return f"Takes of {batch}, chosen ones in green"


log = logging.getLogger(__name__)

PROGRESS_EVERY_S = 2.0


@asynccontextmanager
async def publish_batch_artifacts(run: RunContext, plan: Plan) -> AsyncIterator[None]:
    """Publish the plan, and progress and contact sheets while the block runs."""
    name = run.batch.name
    await published("plan", publish_markdown(name, "plan", plan_markdown(plan), f"What {name} will do"))
    reporters = [asyncio.create_task(tell) for tell in (_publish_progress(run), keep_showing(run))]
    try:
        yield
    finally:
        for reporter in reporters:
            reporter.cancel()
            with suppress(asyncio.CancelledError):
                await reporter


async def publish_report(run: RunContext, ended: Report) -> None:
    """Publish contact sheets, failures, spend, and the way to the gallery.

    Spend is shown against budget and quota.
    """
    name = run.batch.name
    await published("contact sheet", publish_sheets(run, ended.sidecars))
    if waiting := waiting_for_approval(ended.sidecars):
        await published("approval", _approval(name, waiting))
    found = failures_markdown(ended.sidecars)
    await published(
        "failures", publish_markdown(name, "failures", found, f"What did not work in {name}, and what to do")
    )
    await published("spend", _spend(run, ended))
    await published("gallery", _gallery(run, str(ended.summary["gallery"])))


async def _approval(name: str, waiting: Sequence[Sidecar]) -> None:
    form = await form_link(name, [one.shot for one in waiting])
    await publish_markdown(name, "approval", approval_markdown(waiting, form), f"What waits for approval in {name}")


async def _spend(run: RunContext, ended: Report) -> None:
    assert run.state.plan is not None  # noqa: S101  narrows the type: there is no report without a plan
    text = spend_markdown(ended.summary, await account_of(run, run.state.plan))
    name = run.batch.name
    await publish_markdown(name, "spend", text, f"Spend of {name} against budget and quota")


async def _gallery(run: RunContext, uri: str) -> None:
    """Publish the way to the gallery.

    A browser opens no `file:` link from a page of a server, so the place is written out as well.
    """
    key, name = f"{artifact_key(run.batch.name)}-gallery", run.batch.name
    await acreate_link_artifact(
        link_to(uri), link_text=f"Gallery of {name}", key=key, description=f"Gallery of {name}: `{uri}`"
    )


async def _publish_progress(run: RunContext) -> None:
    """Update the progress until cancelled, and once more then."""
    key, artifact = f"{artifact_key(run.batch.name)}-progress", None
    try:
        while True:
            artifact = await _tell(run, key, artifact)
            await asyncio.sleep(PROGRESS_EVERY_S)
    finally:
        await _tell(run, key, artifact)


async def _tell(run: RunContext, key: str, artifact: UUID | None) -> UUID | None:
    """Show how far the batch is, and return the artifact's id.

    None while there is none because the server did not take it.
    """
    percent = run.state.progress.percent
    try:
        spent = await run.resources.ledger.spent_on_batch(run.batch.name)
        told = progress_sentence(run.batch, run.state.progress, spent)
        if artifact is None:
            return await acreate_progress_artifact(percent, key=key, description=told)
        await aupdate_progress_artifact(artifact, percent, description=told)
    except Exception:  # as above
        log.warning("The progress could not be shown. The batch goes on; it is shown again soon.", exc_info=True)
    return artifact
