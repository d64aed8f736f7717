"""`callsheet plan`: what would be done, why, at what cost, and until when."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from callsheet.cli.options import (
    BudgetOption,
    CampaignOption,
    EditionOption,
    JsonOption,
    LiveOption,
    ManifestArgument,
    OnBadRowOption,
    StrictOption,
    VarOption,
    manifest_of,
    read_on_bad_row,
    request_of,
)
from callsheet.cli.output import out, print_json, say
from callsheet.exit_codes import ExitCode
from callsheet.settings import load_settings

if TYPE_CHECKING:  # the help and wrong usage are told at once
    from callsheet.batch.prepare import PreparedRun
    from callsheet.manifest import Manifest
    from callsheet.plan import Action, Kind, Plan

# A longer table helps nobody; the totals below it count every shot.
ROWS = 60
ADVICE = 10
MODELS = 12
SIGNS = {"create": "+", "reuse": "=", "resume": ">", "parked": "z", "waiting": "?", "blocked": "x", "failed": "!"}
CHOICES = {
    "": "",
    "scores": "which take is edited is chosen now",
    "approval": "a person chooses what is edited",
    "clips": "which of its clips goes on is chosen now",
}
OutOption = Annotated[str | None, typer.Option("--out", help="Write the plan to this file, for `run --plan`.")]


def plan(
    manifest: ManifestArgument = None,
    live: LiveOption = False,
    edition: EditionOption = None,
    campaign: CampaignOption = None,
    var: VarOption = None,
    budget: BudgetOption = None,
    strict: StrictOption = False,
    on_bad_row: OnBadRowOption = "stop",
    out_file: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Show what will be made, reused or resumed, why, and what it costs.

    Also says when it is done. Sends nothing.
    """

    from callsheet.batch.planning import plan_file
    from callsheet.batch.prepare import check_strictly, prepare_run
    from callsheet.plan.plan_file import write_plan

    settings = load_settings()
    request = request_of(manifest_of(manifest, settings), live, edition, campaign, var, budget)
    request = replace(request, on_bad_row=read_on_bad_row(on_bad_row))
    asked = asyncio.run(prepare_run(request, settings))
    asked = check_strictly(asked) if strict else asked
    made = asyncio.run(plan_of(asked))
    show_plan(made)
    if out_file is not None:
        write_plan(Path(out_file), plan_file(made, asked))
        say(f"Written to {out_file}. To execute exactly this: callsheet run --plan {out_file}{' --live' * live}")
    code = ExitCode.UNFINISHED if made.left_out else ExitCode.DONE
    if json:
        print_json({"exit_code": int(code), **made.as_json()})
    sys.exit(code)


async def plan_of(asked: PreparedRun, *, paying: bool = False) -> Plan:
    """Return the plan of a run, from ledger, archive and clock as they are.

    It agrees with the request's plan file.

    `paying`: a live run is to follow, which SettingsError refuses where it could pay for what another ledger has.
    """

    from callsheet.archive.claim import check_claim
    from callsheet.batch.open import open_records
    from callsheet.batch.other_ledgers import doubt_warnings, home_warning, ledger_warnings
    from callsheet.batch.planning import follow, make_plan, plan_remake, read_clock
    from callsheet.batch.prepare import check_credentials
    from callsheet.batch.witness import check_proved
    from callsheet.plan.sendable import check_sendable

    warn_of(asked.manifest)
    batch, request = asked.batch, asked.request
    async with open_records(asked.settings, clock=(await read_clock(asked.settings, batch.mode))[0]) as (ledger, store):
        made, known = await make_plan(asked, ledger, store)
        made = plan_remake(asked, made, known) if request.remake else made
        told = await ledger_warnings(store, batch, ledger.identity)
        warn([home_warning(asked.settings, Path.cwd()), *told, *doubt_warnings(made, known)])
        if paying:
            check_credentials(made, free=request.free)
        if paying and any(not item.complete for item in made.shots):
            await check_claim(store, batch, ledger.identity)
            check_proved(made, known, request.wants, free=request.free)
        check_sendable(made, asked.manifest.unsendable, request.wants if request.skips_bad_rows else _want_all)
        await follow(made, asked, ledger)
        return made


def _want_all(_shot: str) -> bool:
    return True


def warn_of(sheet: Manifest) -> None:
    """Say what is doubtful about a manifest that is valid."""
    warn(str(warning) for warning in sheet.warnings)


def warn(warnings: Iterable[str]) -> None:
    """Say what is doubtful, a line each."""
    for warning in warnings:
        if warning:
            say(f"warning: {warning}")


def show_plan(made: Plan) -> None:
    """Print what cannot be finished, the plan as a table, then money and time."""

    from callsheet.batch.prepare import describe_cut_off
    from callsheet.manifest.left_out import describe_left_out
    from callsheet.plan import NOUNS
    from callsheet.plan.inputs import amount

    for line in describe_cut_off(made):
        out.print(line, markup=False)
    table = Table(title=f"Plan of {made.batch.name}", title_justify="left")
    for column in ("shot", "pictures", "clips", "cuts", "why"):
        table.add_column(column)
    table.add_column("USD", justify="right")
    for item in made.shots[:ROWS]:
        cells = [Text(_describe_counts(item.actions, kind)) for kind in NOUNS]
        of = f" (edit of {item.shot.edit_of})" if item.shot.edit_of else ""
        why = "; ".join(part for part in (_reasons(item.actions), CHOICES[item.choice]) if part)
        table.add_row(Text(item.shot.id + of), *cells, Text(why), amount(item.usd, item.usd_high))
    out.print(table)
    for line in _advice(made):
        out.print(line, markup=False)
    if len(made.shots) > ROWS:
        out.print(f"... and {len(made.shots) - ROWS} more shots")
    if made.dropped:
        names = ", ".join(made.dropped[:10]) + (f" and {len(made.dropped) - 10} more" if len(made.dropped) > 10 else "")
        out.print(f"No longer in the manifest, kept in the archive: {names}", markup=False)
    for line in (*_list_models(made), *_totals(made), *describe_left_out(made.left_out)):
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


def _list_models(made: Plan) -> list[str]:
    """Return lines on the models to be paid: their routes and prices.

    They also say what else could make the same.
    """
    lines = [line for model in made.models[:MODELS] for line in model.sentences()]
    return [*lines, f"... and {len(made.models) - MODELS} more models and prices"] if made.models[MODELS:] else lines


def _totals(made: Plan) -> list[str]:
    from callsheet.plan import NOUNS
    from callsheet.plan.inputs import amount

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


def _describe_counts(actions: tuple[Action, ...], kind: Kind) -> str:
    counts = Counter(action.what for action in actions if action.kind == kind)
    ways = Counter(action.how for action in actions if action.how and action.what == "create" and action.kind == kind)
    told = f" ({', '.join(f'{count} {how}' for how, count in ways.items())})" if ways else ""
    return ", ".join(f"{SIGNS[what]}{count} {what}" for what, count in counts.items()) + told
