"""`callsheet status`: how batches stand, from the ledger alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json
from callsheet.clock import Clock, real_now
from callsheet.errors import BudgetParked, NoRoom, RouteMissing, RouteParked
from callsheet.settings import load_settings
from callsheet.shots import ShotOutcome

if TYPE_CHECKING:  # the help and wrong usage are told at once
    from callsheet.ledger import BatchRow, Job, Ledger, ShotRow, SpendRow

ROWS = 60
# What has to happen before a request goes on that waits for no moment.
_WHEN = {
    BudgetParked.__name__: "the budget is raised",
    RouteParked.__name__: "the provider's account is mended",
    RouteMissing.__name__: "the credentials that its reason names are set",
    NoRoom.__name__: "there is room on the disk",
}


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
    from callsheet.ledger import JobState, Ledger

    async with await Ledger.open(load_settings().ledger_url, clock=Clock()) as ledger:
        chosen = await ledger.batches() if batch is None else [await ledger.batch_named(batch)]
        jobs = {
            "under_way": [job for job in await ledger.under_way() if job.state is not JobState.UNKNOWN],
            "unresolved": await ledger.unresolved(),
            "parked": await ledger.find_parked(),
        }
        mine = {name: [job for job in found if batch in (None, job.batch)] for name, found in jobs.items()}
        campaigns = {(row.batch.campaign, row.batch.mode) for row in chosen}
        doubts = await ledger.sum_doubts()
        return {
            "batches": [{**_batch(row, mine, doubts), "shots": await _counts(ledger, row)} for row in chosen],
            "shots": [_shot(row) for row in await ledger.shots_of(batch)] if batch else [],
            "spend": [_spend(row) for row in await ledger.spend() if (row.campaign, row.mode) in campaigns],
            "parked": [_job(job, until=_format_time(job.parked_until), kind=job.reason_kind) for job in mine["parked"]],
            "under_way": [_describe_sent(job) for job in mine["under_way"]],
            "unresolved": [_job(job, reason=job.reason) for job in mine["unresolved"]],
        }


async def _counts(ledger: Ledger, row: BatchRow) -> dict[str, int]:
    return {state.value: count for state, count in (await ledger.counts(row.batch.name)).items()}


def _batch(row: BatchRow, jobs: Mapping[str, Sequence[Job]], doubts: Mapping[str, Decimal]) -> dict[str, Any]:
    usd = {
        "reserved": row.reserved_usd, "spent": row.spent_usd, "in_doubt": doubts.get(row.batch.name, Decimal(0))
    }  # fmt: skip
    return {
        "batch": row.batch.name,
        "mode": row.batch.mode,
        "usd": {name: float(value) for name, value in usd.items()},
        **{name: sum(job.batch == row.batch.name for job in found) for name, found in jobs.items()},
        "updated": row.updated.isoformat(),
    }


def _shot(row: ShotRow) -> dict[str, str]:
    return {"shot": row.shot, "state": row.state.value, "step": row.step, "kind": row.reason_kind, "reason": row.reason}


def _spend(row: SpendRow) -> dict[str, Any]:
    usd = {"estimated": row.estimated_usd, "reserved": row.reserved_usd, "spent": row.spent_usd}
    return {
        "campaign": row.campaign,
        "mode": row.mode,
        "model": row.model,
        "day": row.day.isoformat(),
        "attempts": row.attempts,
        "usd": {name: float(value) for name, value in usd.items()},
    }


def _job(job: Job, **more: Any) -> dict[str, Any]:
    return {"batch": job.batch, "shot": job.shot, "slot": job.slot, "model": job.model, "key": job.key, **more}


def _describe_sent(job: Job) -> dict[str, Any]:
    return _job(job, state=job.state.value, operation=job.operation, age_s=_age_s(job))


def _format_time(moment: datetime | None) -> str | None:
    """Return a time as JSON has it."""
    return moment.isoformat() if moment else None


def _age_s(job: Job) -> float | None:
    """Return how long ago it was submitted, in seconds.

    None for a rehearsal, whose clock is the service's own.
    """
    if job.submitted_at is None or job.mode == "rehearsal":
        return None
    return round((real_now() - job.submitted_at).total_seconds(), 1)


def _show(found: dict[str, Any]) -> None:
    out.print(_batches_table(found["batches"]))
    if found["spend"]:
        out.print(_spend_table(found["spend"]))
    for line in _lines(found):
        out.print(line, markup=False)
    unfinished = [shot for shot in found["shots"] if shot["state"] != ShotOutcome.DONE.value]
    for shot in unfinished[:ROWS]:
        out.print(f"{shot['shot']}: {shot['state']}: {shot['kind']} {shot['reason']}".rstrip(), markup=False)
    if len(unfinished) > ROWS:
        out.print(f"... and {len(unfinished) - ROWS} more (all of them with --json)")


# A rehearsal's money is what it would have cost at list price.
_MONEY = ("USD held", "USD spent", "USD rehearsed")


def _batches_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table()
    for column in ("batch", "mode", "shots", "under way", "parked", "to resolve", *_MONEY):
        table.add_column(column, justify="right" if column in _MONEY else "left")
    for row in rows:
        shots = ", ".join(f"{count} {state}" for state, count in row["shots"].items() if count) or "none"
        numbers = (str(row[name]) for name in ("under_way", "parked", "unresolved"))
        table.add_row(*(Text(cell) for cell in (row["batch"], row["mode"], shots, *numbers, *_money(row, 2))))
    return table


def _spend_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="Money by campaign, model and day (Pacific)", title_justify="left")
    for column in ("campaign", "mode", "model", "day", "requests", "USD estimated", *_MONEY):
        table.add_column(column, justify="right" if column.startswith(("USD", "requests")) else "left")
    for row in rows[-ROWS:]:
        numbers = (str(row["attempts"]), f"{row['usd']['estimated']:.4f}", *_money(row, 4))
        names = (row[name] for name in ("campaign", "mode", "model", "day"))
        table.add_row(*(Text(cell) for cell in (*names, *numbers)))
    return table


def _money(row: dict[str, Any], digits: int) -> tuple[str, str, str]:
    """Return what is held, spent and rehearsed; a rehearsal spends nothing."""
    held, spent = (f"{row['usd'][name]:.{digits}f}" for name in ("reserved", "spent"))
    return (held, spent, "") if row["mode"] == "live" else (held, "0", spent)


def _lines(found: dict[str, Any]) -> list[str]:
    """Describe what is parked, under way and in doubt."""
    untils = Counter(job["until"] or _WHEN.get(job["kind"], "it is run again") for job in found["parked"])
    lines = [f"{count} parked until {until}" for until, count in sorted(untils.items(), key=str)]
    for job in found["under_way"][:ROWS]:
        age = f"for {timedelta(seconds=round(job['age_s']))}" if job["age_s"] is not None else ""
        lines.append(" ".join(f"{job['shot']}: {job['slot']} {job['state']} {age} {job['operation'] or ''}".split()))
    if len(found["under_way"]) > ROWS:
        lines.append(f"... and {len(found['under_way']) - ROWS} more under way (all of them with --json)")
    lines += [
        f"{row['batch']}: USD {row['usd']['reserved']:.2f} held by requests that are not settled"
        f"{'' if row['mode'] == 'live' else ' (a rehearsal: $0 is charged)'}"
        for row in found["batches"]
        if row["usd"]["reserved"]
    ]
    lines += [
        f"{row['batch']}: USD {row['usd']['in_doubt']:.2f} of these in doubt: only the bill tells (callsheet resolve)"
        for row in found["batches"]
        if row["usd"]["in_doubt"]
    ]
    if found["unresolved"]:
        lines.append(f"{len(found['unresolved'])} may or may not have been accepted: `callsheet resolve` shows them.")
    return lines
