"""What a gate learns: from the ledger before each request, and from what became of each."""

from __future__ import annotations

from callsheet.context.context import RunContext
from callsheet.context.gates import ALL, RouteGate, place_of
from callsheet.errors import ProviderError, RouteClosed, Unauthorised, Unknown, WebPage
from callsheet.ledger import Job, JobOrder
from callsheet.providers.video_replies import WEB_PAGE


async def gate_of(run: RunContext, order: JobOrder) -> RouteGate:
    """Give the gate of the order's route, which knows what any process has found closed until now."""
    gate = run.gate(order)
    gate.hear(await run.resources.ledger.closed_models(gate.scope))
    return gate


async def tell_gate(gate: RouteGate, run: RunContext, order: JobOrder, outcome: Job | ProviderError) -> None:
    """Close the route after a refusal that holds for every request.

    A cut does without the look, whatever its key.

    The ledger remembers what is closed for billing: the next run tries with one request, and opens it when that is
    taken.
    """
    if isinstance(outcome, Unknown) and outcome.reason == WEB_PAGE:
        gate.refused(order.model, WebPage(str(outcome), reason=WEB_PAGE, status=outcome.status))
    if isinstance(outcome, RouteClosed):
        gate.refused(order.model, outcome)
        await run.resources.ledger.close_route(gate.scope, place_of(order.model, outcome))
    elif isinstance(outcome, Unauthorised) and order.kind != "look":
        gate.refused(order.model, outcome)
    elif gate.is_opened_by(order.model, outcome):
        await run.resources.ledger.open_route(gate.scope, [ALL, order.model])
