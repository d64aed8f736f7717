"""Evidence of a submission whose reply was never seen: was it accepted, and as which operation?

Google has no list of Veo operations and no request ids (gemini-api reference, 2026-11-21), so live nobody can tell from
here. The rehearsal service keeps account of what it accepted, and every submission carries its job's label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2

from callsheet.errors import Unreachable
from callsheet.keys import JOB_LABEL, label_of

PAGE = 500
TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known for certain: the operation of an accepted submission, or None when none was accepted."""

    operation: str | None


async def evidence_in(service_url: str, key: str) -> Evidence:
    """What the rehearsal service at `service_url` has accepted for a job; Unreachable when it does not answer."""
    after = 0
    async with httpx2.AsyncClient(base_url=service_url, timeout=TIMEOUT_S, trust_env=False) as client:
        while True:
            page = await _page(client, after)
            for submission in page:
                if submission["labels"].get(JOB_LABEL) == label_of(key) and submission["operation"]:
                    return Evidence(submission["operation"])
            if len(page) < PAGE:
                return Evidence(None)
            after = page[-1]["id"]


async def _page(client: httpx2.AsyncClient, after: int) -> list[dict[str, Any]]:
    try:
        reply = await client.get("/rehearsal/counts", params={"after": after})
        reply.raise_for_status()
        page: list[dict[str, Any]] = reply.json()["submissions"]
    except (httpx2.HTTPError, ValueError, KeyError) as error:
        raise Unreachable(
            f"The rehearsal service could not be asked what it accepted: {error}. Nothing was sent; run it again."
        ) from error
    return page
