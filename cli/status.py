"""`callsheet status`: how batches stand, from the ledger alone."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from callsheet.clock import Clock
from callsheet.errors import SettingsError
from callsheet.ledger import Ledger, ShotRow
from callsheet.settings import load_settings
from callsheet.shots import ShotState
from cli.options import JsonOption
from cli.output import out, print_json

ROWS = 60


def status(
    batch: Annotated[str | None, typer.Argument(help="Batch name; without it, all batches.")] = None,
    json: JsonOption = False,
) -> None:
    """Show how batches stand: shots by state, reasons, operations under way and money."""
    found = asyncio.run(_read(batch))
    _show(found)
    if json:
        print_json({"exit_code": 0, **found})


async def _read(batch: str | None) -> dict[str, Any]:
    async with await Ledger.open(load_settings().ledger_url, clock=Clock()) as ledger:
        rows = await ledger.batches()
        if batch is not None and all(row.batch.name != batch for row in rows):
            known = ", ".join(row.batch.name for row in rows[:20]) or "none"
            raise SettingsError(f"There is no batch {batch!r} in this ledger. Known: {known}.")
        unresolved, under_way = await ledger.unresolved(), await ledger.under_way()
        return {
            "batches": [
                {
                    "batch": row.batch.name,
                    "mode": row.batch.mode,
                    "shots": {state.value: count for state, count in (await ledger.counts(row.batch.name)).items()},
                    "usd": {"reserved": float(row.reserved_usd), "spent": float(row.spent_usd)},
                    "under_way": sum(1 for job in under_way if job.batch == row.batch.name),
                    "unresolved": sum(1 for job in unresolved if job.batch == row.batch.name),
                    "updated": row.updated.isoformat(),
                }
                for row in rows
                if batch in (None, row.batch.name)
            ],
            "shots": [_shot(row) for row in await ledger.shots_of(batch)] if batch else [],
        }


def _shot(row: ShotRow) -> dict[str, str]:
    return {"shot": row.shot, "state": row.state.value, "step": row.step, "kind": row.reason_kind, "reason": row.reason}


def _show(found: dict[str, Any]) -> None:
    table = Table()
    for column in ("batch", "shots", "under way", "to resolve", "USD reserved", "USD spent"):
        table.add_column(column)
    for row in found["batches"]:
        shots = ", ".join(f"{count} {state}" for state, count in row["shots"].items() if count) or "none"
        usd = row["usd"]
        cells = (
            row["batch"],
            shots,
            str(row["under_way"]),
            str(row["unresolved"]),
            f"{usd['reserved']:.2f}",
            f"{usd['spent']:.2f}",
        )
        table.add_row(*(Text(cell) for cell in cells))
    out.print(table)
    unfinished = [shot for shot in found["shots"] if shot["state"] != ShotState.DONE.value]
    for shot in unfinished[:ROWS]:
        out.print(f"{shot['shot']}: {shot['state']}: {shot['kind']} {shot['reason']}".rstrip(), markup=False)
    if len(unfinished) > ROWS:
        out.print(f"... and {len(unfinished) - ROWS} more (all of them with --json)")
