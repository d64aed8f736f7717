"""`callsheet recover`: fetch what was paid for and is not in the archive.

Costs nothing, submits nothing.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json, say
from callsheet.exit_codes import first_of
from callsheet.settings import Settings, load_settings


def recover(
    batch: Annotated[str | None, typer.Argument(help="Batch name; without it, all batches of both modes.")] = None,
    carry_on: Annotated[
        bool, typer.Option("--carry-on", help="Then finish, for free, the shots of which everything is paid for.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Fetch, for free, all that is paid for and not in the archive yet.

    Needs no manifest and sends nothing.

    Ends with 0 when nothing is left behind, 4 while some still run or are withheld, 5 when a person has to
    decide (`callsheet resolve`), 3 when something ended without a file or is lost; the first of these that is so.
    """
    settings = load_settings()
    summary = _collected(settings, batch) if carry_on else _recover_alone(settings, batch)
    _show(summary)
    if json:
        print_json(summary)
    sys.exit(summary["exit_code"])


def _recover_alone(settings: Settings, batch: str | None) -> dict[str, Any]:
    from callsheet.batch.recover import recover_all
    from callsheet.jobs.missing import exit_code

    found = asyncio.run(recover_all(settings, batch))
    return {"exit_code": exit_code(found), **_count_jobs([one.as_json() for one in found])}


def _collected(settings: Settings, batch: str | None) -> dict[str, Any]:
    """Recover by the collect flow, which also finishes the shots.

    In each mode that has batches; live first.
    """

    from callsheet.batch.recover import MODES, find_missing
    from callsheet.cli.run import join_server

    batches = asyncio.run(find_missing(settings, batch)).batches
    modes = [mode for mode in MODES if any(mode == one.mode for name, one in batches.items() if batch in (None, name))]
    parts: list[dict[str, Any]] = []
    if modes:
        server = join_server(settings)
        from callsheet.orchestration.end_states import carry_out
        from flows.collect import collect

        asked = [{"live": mode == "live", "batch": batch} for mode in modes]
        parts = [asyncio.run(carry_out(collect, parameters)) for parameters in asked]
        say(f"Prefect UI: {server.ui_url}")
    return {
        "exit_code": int(first_of(part["exit_code"] for part in parts)),
        **_count_jobs([job for part in parts for job in part["jobs"]]),
        "carried_on": [summary for part in parts for summary in part["carried_on"]],
        "left": [left for part in parts for left in part["left"]],
    }


def _count_jobs(jobs: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    return {"counts": dict(Counter(job["how"] for job in jobs)), "jobs": list(jobs)}


def _show(summary: Mapping[str, Any]) -> None:
    """Print a line for each job and each batch, and one that counts the jobs."""
    for job in summary["jobs"]:
        out.print(f"{job['how']:8} {job['batch']} / {job['shot']} / {job['slot']}: {job['reason']}", markup=False)
    if summary["jobs"]:
        out.print(", ".join(f"{count} {how}" for how, count in summary["counts"].items()))
    else:
        say("Nothing is missing.")
    for batch in summary.get("carried_on", ()):
        shots = batch["shots"]
        out.print(f"{batch['batch']}: carried on; {shots['done']} of {shots['total']} shots done", markup=False)
    for left in summary.get("left", ()):
        out.print(f"{left['batch']}: not carried on, {len(left['shots'])} shots left. {left['why']}", markup=False)
    if summary["counts"].get("fetched") and "carried_on" not in summary:
        say("Run the batch's manifest to go on with the shots, or `callsheet recover --carry-on`.")
