"""Artifacts of a flow run on the Prefect server: keys, Markdown, and what happens when they cannot be published."""

from __future__ import annotations

import logging
import re
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.runtime import flow_run

log = logging.getLogger(__name__)


def artifact_key(batch: str) -> str:
    """The batch's name in the letters that artifact keys may have: a-z, 0-9 and dashes (Prefect 3.8.8)."""
    return re.sub(r"[^a-z0-9]+", "-", batch.lower()).strip("-") or "batch"


async def published(what: str, publishing: Coroutine[Any, Any, Any]) -> None:
    """Publish; what goes wrong is a warning in the log, for the batch is worth more than its bulletin."""
    try:
        await publishing
    except Exception:  # whatever the server or the archive has
        log.warning("The %s could not be published. The batch goes on without it.", what, exc_info=True)


async def publish_markdown(batch: str, part: str, text: str, description: str) -> None:
    """Publish one page of a batch; in this flow run it takes the place of what was published as this part before."""
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
