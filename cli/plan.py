"""`callsheet plan`: what would be done, and what it would cost."""

from __future__ import annotations

import asyncio
from collections import Counter

from rich.table import Table
from rich.text import Text

from callsheet.archive.store import open_store
from callsheet.clock import Clock
from callsheet.ledger import Ledger
from callsheet.manifest import Manifest
from callsheet.plan import NOUNS, Action, Kind, Plan, plan_batch
from callsheet.run import RunRequest, read_request
from callsheet.settings import Settings, load_settings
from callsheet.steps.survey import survey
from cli.options import CampaignOption, EditionOption, JsonOption, LiveOption, ManifestArgument, VarOption, request_of
from cli.output import out, print_json, say

# A longer table helps nobody; the totals below it count every shot.
ROWS = 60


def plan(
    manifest: ManifestArgument,
    live: LiveOption = False,
    edition: EditionOption = None,
    campaign: CampaignOption = None,
    var: VarOption = None,
    json: JsonOption = False,
) -> None:
    """Show per shot what will be created, reused or resumed, and the cost. Sends nothing."""
    made = asyncio.run(make_plan(request_of(manifest, live, edition, campaign, var), load_settings()))
    show_plan(made)
    if json:
        print_json({"exit_code": 0, **made.as_json()})


async def make_plan(request: RunRequest, settings: Settings) -> Plan:
    """The plan of a request, from the ledger and the archive as they are."""
    sheet, catalogue, batch = read_request(request, settings)
    warn_of(sheet)
    store = open_store(settings.archive_uri, emulator_host=settings.storage_emulator_host)
    try:
        async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
            known = await survey(ledger, store, batch, sheet.shots)
    finally:
        await store.aclose()
    return plan_batch(batch, sheet.shots, known, catalogue)


def warn_of(sheet: Manifest) -> None:
    """Say what is doubtful about a manifest that is valid."""
    for warning in sheet.warnings:
        say(f"warning: {warning}")


def show_plan(made: Plan) -> None:
    """The plan as a table with totals."""
    table = Table(title=f"Plan of {made.batch.name}", title_justify="left")
    for column in ("shot", "pictures", "clips", "cuts", "why"):
        table.add_column(column)
    table.add_column("USD", justify="right")
    for item in made.shots[:ROWS]:
        cells = [Text(_counted(item.actions, kind)) for kind in NOUNS]
        reasons = dict.fromkeys(action.why for action in item.actions if action.why)
        table.add_row(Text(item.shot.id), *cells, Text("; ".join(reasons)), f"{item.usd:.3f}")
    out.print(table)
    if len(made.shots) > ROWS:
        out.print(f"... and {len(made.shots) - ROWS} more shots")
    totals = "; ".join(
        f"{noun}: " + (", ".join(f"{count} to {what}" for what, count in sorted(made.counts(kind).items())) or "none")
        for kind, noun in NOUNS.items()
    )
    free = " (a rehearsal: $0 is charged)" if made.batch.mode == "rehearsal" else ""
    out.print(f"{totals}. At most ${made.usd:.2f} at list price{free}.", markup=False)


def _counted(actions: tuple[Action, ...], kind: Kind) -> str:
    counts = Counter(action.what for action in actions if action.kind == kind)
    return ", ".join(f"{count} {what}" for what, count in counts.items())
