"""`callsheet quota`: the quotas of the live routes, and forgetting them."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json
from callsheet.clock import Clock
from callsheet.settings import Settings, load_settings

if TYPE_CHECKING:  # the help and wrong usage are told at once
    from callsheet.batch.quota import QuotaRow, RouteSpend
    from callsheet.ledger import Ledger
    from callsheet.models import Catalogue

EVERY = "all"


def quota(
    forget: Annotated[
        str | None, typer.Option(metavar="MODEL|all", help="Forget what 429 replies taught of a model, or of all.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show limits and use of each model on its route. Sends nothing.

    Also says when it goes on.
    """

    from callsheet.models import load_catalogue

    settings = load_settings()
    catalogue = load_catalogue(settings.catalogue)
    rows, spend, forgotten = asyncio.run(_read(settings, catalogue, forget))
    if forgotten is not None:
        what = "every model" if forget == EVERY else forget
        out.print(f"Forgot {forgotten} learned limits of {what}." if forgotten else f"Nothing was learned of {what}.")
    _show(rows)
    _show_spend(spend)
    if json:
        found: dict[str, Any] = {
            "exit_code": 0,
            "tier": settings.tier,
            "quotas": [row.as_json() for row in rows],
            "spend": [row.as_json() for row in spend],
        }
        print_json(found if forgotten is None else {**found, "forgotten": forgotten})


async def _read(
    settings: Settings, catalogue: Catalogue, forget: str | None
) -> tuple[list[QuotaRow], list[RouteSpend], int | None]:
    from callsheet.batch.quota import quota_rows, spend_rows
    from callsheet.ledger import Ledger

    clock = Clock()
    async with await Ledger.open(settings.ledger_url, clock=clock) as ledger:
        forgotten = None if forget is None else await _forget(ledger, settings, catalogue, forget)
        rows = await quota_rows(ledger, settings, catalogue, clock.now())
        return rows, await spend_rows(ledger, settings, catalogue, clock.now()), forgotten


async def _forget(ledger: Ledger, settings: Settings, catalogue: Catalogue, model: str) -> int:
    from callsheet.batch.quota import scopes_of

    scopes = scopes_of(settings)
    if model == EVERY:
        return sum([await ledger.forget_limits(scope) for scope in scopes])
    learned = [row.model for scope in scopes for row in await ledger.learned_rows(scope)]
    if model not in learned:
        catalogue.get(model)  # a name that is not known is told
    # What closed the whole route is forgotten with any of its models.
    return sum(
        [await ledger.forget_limits(scope, [model, ""]) for scope in scopes if await _is_of(ledger, scope, model)]
    )


async def _is_of(ledger: Ledger, scope: str, model: str) -> bool:
    """Tell whether anything was learned of the model on this route.

    What was learned of the route as a whole counts as well.
    """
    return any(row.model in ("", model) for row in await ledger.learned_rows(scope))


def _show(rows: list[QuotaRow]) -> None:
    table = Table()
    for column in ("route", "model", "a minute", "a day", "from", "this minute", "today", "goes on"):
        table.add_column(column, justify="left" if column in ("route", "model", "from", "goes on") else "right")
    for row in rows:
        limits = ("-" if most is None else f"{most:,}" for most in (row.per_minute, row.per_day))
        source = "learned" if row.is_learned else "catalogue"
        table.add_row(row.route, row.model, *limits, source, f"{row.this_minute:,}", f"{row.today:,}", _goes_on(row))
    out.print(table)


def _show_spend(rows: list[RouteSpend]) -> None:
    for row in rows:
        source = "learned" if row.is_learned else "by tier or settings"
        pause = f" Goes on {row.goes_on_at:%Y-%m-%d %H:%M:%S} UTC." if row.goes_on_at else ""
        out.print(
            f"{row.route}: ${row.last_10min:.2f} of {_usd(row.per_10min)} in the last 10 minutes ({source}), "
            f"${row.this_month:.2f} of {_usd(row.per_month)} this month.{pause}"
        )


def _usd(limit: Decimal | None) -> str:
    return "any" if limit is None else f"${limit:,.2f}"


def _goes_on(row: QuotaRow) -> str:
    if row.closed_since is not None:
        return f"refused for good since {row.closed_since:%Y-%m-%d %H:%M} UTC: one request is tried first"
    return "now" if row.goes_on_at is None else f"{row.goes_on_at:%Y-%m-%d %H:%M:%S} UTC"
