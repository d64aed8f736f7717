"""`callsheet plan`: what would be done, why, at what cost, and until when."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from callsheet.archive.claim import check_claim
from callsheet.archive.open import open_archive
from callsheet.batch.open import budget_of, read_as_begun
from callsheet.batch.other_ledgers import doubt_warnings, home_warning, ledger_warnings
from callsheet.batch.planning import Desk, follow, make_plan, plan_file, time_of
from callsheet.batch.request import RunRequest
from callsheet.batch.witness import check_proved
from callsheet.cli.options import (
    BudgetOption,
    CampaignOption,
    EditionOption,
    JsonOption,
    LiveOption,
    ManifestArgument,
    VarOption,
)
from callsheet.cli.output import out, print_json, say
from callsheet.cli.request import request_of
from callsheet.ledger import Ledger
from callsheet.manifest import Manifest
from callsheet.plan import NOUNS, Action, Kind, Plan
from callsheet.plan.money import amount
from callsheet.plan.plan_batch import check_sendable
from callsheet.plan.plan_file import write_plan
from callsheet.platforms import load_platforms
from callsheet.settings import Settings, load_settings

# A longer table helps nobody; the totals below it count every shot.
ROWS = 60
ADVICE = 10
SIGNS = {"create": "+", "reuse": "=", "resume": ">", "parked": "z", "waiting": "?", "blocked": "x", "failed": "!"}
OutOption = Annotated[str | None, typer.Option("--out", help="Write the plan to this file, for `run --plan`.")]


def plan(
    manifest: ManifestArgument,
    live: LiveOption = False,
    edition: EditionOption = None,
    campaign: CampaignOption = None,
    var: VarOption = None,
    budget: BudgetOption = None,
    out_file: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Show what will be made, reused or resumed, why, and what it costs.

    Also says when it is done. Sends nothing.
    """
    settings = load_settings()
    request = request_of(manifest, live, edition, campaign, var, budget)
    made = asyncio.run(plan_of(request, settings))
    show_plan(made)
    if out_file is not None:
        write_plan(Path(out_file), plan_file(made, request, settings))
        say(f"Written to {out_file}. To execute exactly this: callsheet run --plan {out_file}{' --live' * live}")
    if json:
        print_json({"exit_code": 0, **made.as_json()})


async def plan_of(request: RunRequest, settings: Settings, *, paying: bool = False) -> Plan:
    """Return the plan of a request, from ledger, archive and clock as they are.

    It agrees with the request's plan file.

    `paying`: a live run is to follow, which SettingsError refuses where it could pay for what another ledger has.
    """
    sheet, catalogue, batch = await read_as_begun(request, settings)
    warn_of(sheet)
    clock, latency = await time_of(settings, batch.mode)
    store = open_archive(settings)
    try:
        async with await Ledger.open(settings.ledger_url, clock=clock) as ledger:
            budget = budget_of(request, sheet, settings)
            desk = Desk(settings, ledger, store, catalogue, clock, latency, budget, load_platforms(settings.platforms))
            made, known = await make_plan(desk, batch, sheet.shots)
            told = await ledger_warnings(store, batch, ledger.identity)
            warn([home_warning(settings, Path.cwd()), *told, *doubt_warnings(made, known)])
            if paying and any(not item.complete for item in made.shots):
                await check_claim(store, batch, ledger.identity)
                check_proved(made, known, request.wants, free=request.free)
            check_sendable(made, sheet.unsendable)
            await follow(made, request, settings, ledger)
            return made
    finally:
        await store.aclose()


def warn_of(sheet: Manifest) -> None:
    """Say what is doubtful about a manifest that is valid."""
    warn(str(warning) for warning in sheet.warnings)


def warn(warnings: Iterable[str]) -> None:
    """Say what is doubtful, a line each."""
    for warning in warnings:
        if warning:
            say(f"warning: {warning}")


def show_plan(made: Plan) -> None:
    """Print the plan as a table with totals, and below it money and time."""
    table = Table(title=f"Plan of {made.batch.name}", title_justify="left")
    for column in ("shot", "pictures", "clips", "cuts", "why"):
        table.add_column(column)
    table.add_column("USD", justify="right")
    for item in made.shots[:ROWS]:
        cells = [Text(_counted(item.actions, kind)) for kind in NOUNS]
        table.add_row(Text(item.shot.id), *cells, Text(_reasons(item.actions)), amount(item.usd, item.usd_high))
    out.print(table)
    for line in _advice(made):
        out.print(line, markup=False)
    if len(made.shots) > ROWS:
        out.print(f"... and {len(made.shots) - ROWS} more shots")
    if made.dropped:
        names = ", ".join(made.dropped[:10]) + (f" and {len(made.dropped) - 10} more" if len(made.dropped) > 10 else "")
        out.print(f"No longer in the manifest, kept in the archive: {names}", markup=False)
    for line in _totals(made):
        out.print(line, markup=False)


def _advice(made: Plan) -> list[str]:
    """Return how clips would serve their cuts better.

    Each advice stands once, with the shots that it is for.
    """
    shots: dict[str, list[str]] = {}
    for item in made.shots:
        if item.advice:
            shots.setdefault(item.advice, []).append(item.shot.id)
    more = {advice: f" and {len(ids) - 5} more" if len(ids) > 5 else "" for advice, ids in shots.items()}
    return [f"{', '.join(ids[:5])}{more[advice]}: {advice}." for advice, ids in list(shots.items())[:ADVICE]]


def _totals(made: Plan) -> list[str]:
    totals = "; ".join(
        f"{noun}: " + (", ".join(f"{count} {what}" for what, count in sorted(made.counts(kind).items())) or "none")
        for kind, noun in NOUNS.items()
    )
    free = " A rehearsal: $0 is charged." if made.batch.mode == "rehearsal" else ""
    cost = f"Cost at list price: ${amount(made.usd, made.usd_high, 2)}.{free}"
    budget = made.money.sentence() if made.money else ""
    return [totals, cost, *filter(None, [budget]), *(made.forecast.sentences() if made.forecast else [])]


def _reasons(actions: tuple[Action, ...]) -> str:
    """Return the reasons of a shot's actions, each once."""
    return "; ".join(dict.fromkeys(action.why for action in actions if action.why))


def _counted(actions: tuple[Action, ...], kind: Kind) -> str:
    counts = Counter(action.what for action in actions if action.kind == kind)
    ways = Counter(action.how for action in actions if action.how and action.what == "create" and action.kind == kind)
    told = f" ({', '.join(f'{count} {how}' for how, count in ways.items())})" if ways else ""
    return ", ".join(f"{SIGNS[what]}{count} {what}" for what, count in counts.items()) + told
