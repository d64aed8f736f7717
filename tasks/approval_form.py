"""From a batch's page in the Prefect UI to the form of `approve-frames`, with the batch and its shots filled in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote

from prefect import get_client
from prefect.exceptions import ObjectNotFound

DEPLOYMENT = "approve-frames/approve-frames"
# More makes a form that nobody fills in, and an address that is too long for some proxies.
MOST_SHOTS = 20


async def form_link(batch: str, shots: Sequence[str]) -> str | None:
    """The address of the form on the server's own pages, for the first 20 shots; None when it is not deployed.

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
