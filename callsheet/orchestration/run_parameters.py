"""A run's request as parameters of the batch flows.

The command line reads it before it knows its server, so nothing here may import Prefect.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from callsheet.batch.request import RunRequest
from callsheet.plan.grouping import Shard


def request_from(parameters: Mapping[str, Any]) -> RunRequest:
    """Return the request that a flow's parameters stand for; amounts are in USD.

    What is left out, or empty in a form, is as in a request that does not ask for it.
    """
    budget = parameters.get("budget_usd")
    first, last, revision = (parameters.get(name) for name in ("first", "last", "revision"))
    return RunRequest(
        manifest=parameters.get("manifest") or "",
        live=parameters.get("live", False),
        edition=parameters.get("edition"),
        campaign=parameters.get("campaign"),
        variables=parameters.get("variables") or {},
        budget_usd=None if budget is None else Decimal(str(budget)),
        remake=parameters.get("remake", False),
        wait=parameters.get("wait", False),
        only=tuple(parameters.get("only") or ()),
        free=parameters.get("free", False),
        plan=parameters.get("plan"),
        shard=Shard(first, last, revision) if first and last and revision else None,
        on_bad_row=parameters.get("on_bad_row") or "stop",
    )


def parameters_of(request: RunRequest) -> dict[str, Any]:
    """Return the parameters of `content_batch` for a request.

    For one with a shard they are those of `content_shard`.
    """
    shared = {
        "manifest": request.manifest,
        "live": request.live,
        "edition": request.edition,
        "campaign": request.campaign,
        "variables": dict(request.variables),
        "budget_usd": None if request.budget_usd is None else float(request.budget_usd),
        "wait": request.wait,
        "free": request.free,
        # Told only where it is wished: deployments of before have no such parameter.
        **({"on_bad_row": request.on_bad_row} if request.skips_bad_rows else {}),
    }
    if (shard := request.shard) is not None:
        return {**shared, "first": shard.first, "last": shard.last, "revision": shard.revision}
    return {**shared, "remake": request.remake, "only": list(request.only), "plan": request.plan}
