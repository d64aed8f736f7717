"""Artifacts of a flow run on the Prefect server: keys, pages and tables.

What cannot be published is a warning in the log.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Coroutine, Sequence
from typing import Any
from urllib.parse import quote
from uuid import UUID

from prefect import get_client
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run

from callsheet.report.spend import SpendReport, spend_report_markdown, spend_rows

DEPLOYMENT = "approve-frames/approve-frames"
# More makes a form that nobody fills in, and an address that is too long for some proxies.
MOST_SHOTS = 20


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
