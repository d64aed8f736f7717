"""`callsheet resolve`: what to do about requests that may or may not have been accepted."""

from __future__ import annotations

import asyncio
import getpass
from typing import Annotated, Any

import typer

from callsheet.clock import Clock
from callsheet.errors import SettingsError
from callsheet.ledger import Job, Ledger
from callsheet.settings import load_settings
from cli.options import JsonOption
from cli.output import out, print_json


def resolve(
    key: Annotated[str | None, typer.Argument(help="Job key, or its beginning; without it, all are listed.")] = None,
    resubmit: Annotated[bool, typer.Option("--resubmit", help="Send it again, at the risk of paying twice.")] = False,
    adopt: Annotated[str | None, typer.Option(help="The operation's name, found in the provider's console.")] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Give it up.")] = False,
    json: JsonOption = False,
) -> None:
    """List the requests in doubt, or decide about one: resubmit, adopt its operation, or drop it."""
    if sum((resubmit, adopt is not None, drop)) > 1 or (key is None and (resubmit or adopt or drop)):
        raise SettingsError("Give one job key and one of --resubmit, --adopt OPERATION and --drop.")
    decision = "resubmit" if resubmit else "adopt" if adopt else "drop" if drop else None
    jobs = asyncio.run(_resolve(key, decision, adopt))
    for job in jobs:
        out.print(f"{job['key'][:16]}  {job['state']:10} {job['batch']} / {job['shot']} / {job['slot']}", markup=False)
        out.print(f"    {job['model']}, {job['usd']:.2f} USD, sent {job['sent']}: {job['reason']}", markup=False)
    if not jobs:
        out.print("No request is in doubt.")
    if json:
        print_json({"exit_code": 0, "jobs": jobs})


async def _resolve(key: str | None, decision: Any, operation: str | None) -> list[dict[str, Any]]:
    async with await Ledger.open(load_settings().ledger_url, clock=Clock()) as ledger:
        jobs = [job for job in await ledger.unresolved() if key is None or job.key.startswith(key)]
        if key is not None and len(jobs) != 1:
            raise SettingsError(f"{len(jobs)} requests in doubt have a key that begins with {key!r}; one is needed.")
        if decision is not None:
            jobs = [await ledger.resolve(jobs[0].key, decision, operation, by=getpass.getuser())]
        return [_shown(job) for job in jobs]


def _shown(job: Job) -> dict[str, Any]:
    return {
        "key": job.key,
        "state": job.state.value,
        "batch": job.batch,
        "shot": job.shot,
        "slot": job.slot,
        "model": job.model,
        "usd": float(job.estimated_usd),
        "sent": job.updated.isoformat(timespec="seconds"),
        "operation": job.operation,
        "reason": job.reason,
    }
