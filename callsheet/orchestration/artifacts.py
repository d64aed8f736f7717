"""Artifacts on the Prefect server: pages of a flow run, and of its batch.

A batch's pages are plan, live progress, contact sheets, failures, spend and the gallery. None is needed for the batch
itself: what cannot be published is a warning in the log.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote
from uuid import UUID

from prefect import get_client
from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run

from callsheet.archive.layout import link_to
from callsheet.archive.sidecar import Sidecar
from callsheet.batch.account import account_of
from callsheet.batch.report import Report
from callsheet.context.context import RunContext
from callsheet.plan import Plan
from callsheet.plan.grouping import groups
from callsheet.report.account import SpendReport, spend_markdown, spend_report_markdown, spend_rows
from callsheet.report.contact_sheets import SHEETS_AT_MOST, contact_sheets, sheet_of
from callsheet.report.markdown import (
    ContactSheet,
    contact_sheet_markdown,
    failures_markdown,
    plan_markdown,
    progress_sentence,
)
from callsheet.report.page_parts import approval_markdown, waiting_for_approval

DEPLOYMENT = "approve-frames/approve-frames"
# More makes a form that nobody fills in, and an address that is too long for some proxies.
MOST_SHOTS = 20
SHOW_EVERY_S = 5.0


async def form_link(batch: str, shots: Sequence[str]) -> str | None:
    """Return the address of the approval form, for the first 20 shots.

    It is on the server's own pages; None when it is not deployed.

    Both UIs take a run's parameters from the address (Prefect 3.8.8). Which takes is left to the person.
    """
    async with get_client() as client:
        try:
            deployment = await client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            return None
    filled_in = {"batch": batch, "decisions": [{"shot": shot} for shot in shots[:MOST_SHOTS]]}
    asked = quote(json.dumps(filled_in, separators=(",", ":"), ensure_ascii=False), safe="")
    return f"/deployments/deployment/{deployment.id}/run?parameters={asked}"


log = logging.getLogger(__name__)


def artifact_key(batch: str) -> str:
    """Return the batch's name in the letters that artifact keys may have.

    These are a-z, 0-9 and dashes (Prefect 3.8.8).
    """
    return re.sub(r"[^a-z0-9]+", "-", batch.lower()).strip("-") or "batch"


async def published(what: str, publishing: Coroutine[Any, Any, Any]) -> None:
    """Publish; what goes wrong is a warning in the log.

    The batch is worth more than its pages.
    """
    try:
        await publishing
    except Exception:  # whatever the server or the archive has
        log.warning("The %s could not be published. The batch goes on without it.", what, exc_info=True)


async def publish_markdown(batch: str, part: str, text: str, description: str) -> None:
    """Publish one page of a batch.

    In this flow run it takes the place of what was published as this part before.
    """
    key = f"{artifact_key(batch)}-{part}"
    async with get_client() as client:
        earlier = await client.read_artifacts(
            artifact_filter=ArtifactFilter(
                key=ArtifactFilterKey(any_=[key]), flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(flow_run.id)])
            )
        )
        if earlier:
            # The client's own method would put the whole page into an event as well (Prefect 3.8.8).
            body = {"data": text, "description": description}
            await client.request("PATCH", "/artifacts/{id}", path_params={"id": earlier[0].id}, json=body)
            return
    await acreate_markdown_artifact(text, key=key, description=description)


async def is_published(batch: str, part: str) -> bool:
    """Return whether some run of the batch has published this part."""
    key = ArtifactFilterKey(any_=[f"{artifact_key(batch)}-{part}"])
    async with get_client() as client:
        return bool(await client.read_artifacts(artifact_filter=ArtifactFilter(key=key), limit=1))


async def publish_cuts(made: dict[str, Any]) -> None:
    """Publish a table of a batch's new cuts, and of those that could not be made."""
    rows = [
        {"Shot": one["shot"], "Platform": one["platform"], "Cut": one.get("uri") or f"Not made: {one['why']}"}
        for one in (*made["files"], *made["failed"])
    ]
    if rows:
        key = f"{artifact_key(made['batch'])}-social-cuts"
        await acreate_table_artifact(rows, key=key, description=f"New cuts of {made['batch']}")


async def publish_spot(made: dict[str, Any]) -> None:
    """Publish a table of a spot's files, with what it joins."""
    what = {"Film": "uri", "Poster": "poster", "Thumbnail": "thumbnail", "Preview sheet": "sheet"}
    rows = [{"What": title, "Where": made[key]} for title, key in what.items()]
    rows.append({"What": "Joins", "Where": ", ".join(part["shot"] for part in made["parts"])})
    key = f"{artifact_key(made['batch'])}-spot-{artifact_key(made['name'])}"
    await acreate_table_artifact(rows, key=key, description=f"Spot {made['name']} of {made['batch']}")


async def publish_spend(report: SpendReport, *, live: bool) -> None:
    """Publish the report as a page, and its rows as a table."""
    key = "spend-report" if live else "spend-report-rehearsals"
    await acreate_markdown_artifact(spend_report_markdown(report, live=live), key=key, description=report.sentence())
    await acreate_table_artifact(
        spend_rows(report), key=f"{key}-rows", description="The month by day, campaign and model"
    )


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
    left_out = run.state.plan.left_out if run.state.plan else ()
    await published("failures", _failures(name, failures_markdown(ended.sidecars, left_out)))
    await published("spend", _spend(run, ended))
    await published("gallery", _gallery(run, str(ended.summary["gallery"])))


async def _failures(name: str, found: str) -> None:
    """Publish what did not work.

    Where nothing failed that is nothing, unless an earlier run of the batch has left failures to be taken back.
    """
    if found or await is_published(name, "failures"):
        text = found or "Nothing failed any more."
        await publish_markdown(name, "failures", text, f"What did not work in {name}, and what to do")


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
        spent = await run.resources.ledger.sum_spent(run.batch.name)
        told = progress_sentence(run.batch, run.state.progress, spent)
        if artifact is None:
            return await acreate_progress_artifact(percent, key=key, description=told)
        await aupdate_progress_artifact(artifact, percent, description=told)
    except Exception:  # as above
        log.warning("The progress could not be shown. The batch goes on; it is shown again soon.", exc_info=True)
    return artifact
