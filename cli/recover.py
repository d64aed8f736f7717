"""`callsheet recover`: fetch what was paid for and is not in the archive. Costs nothing, submits nothing."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from callsheet.recovery import recover_all
from callsheet.settings import load_settings
from callsheet.steps.recover import Recovered, exit_code
from cli.options import JsonOption
from cli.output import out, print_json, say


def recover(
    batch: Annotated[str | None, typer.Argument(help="Batch name; without it, all batches of both modes.")] = None,
    json: JsonOption = False,
) -> None:
    """Fetch, for free, everything that is paid for and not in the archive yet. Needs no manifest and sends nothing.

    Ends with 0 when nothing is left behind, 3 when something ended without a file or is lost, 4 while some still run,
    5 when a person has to decide (`callsheet resolve`).
    """
    found = asyncio.run(recover_all(load_settings(), batch))
    code = exit_code(found)
    show(found)
    if code == 0:
        say("`callsheet run` goes on with the shots of what was fetched." if found else "Nothing is missing.")
    if json:
        print_json({"exit_code": code, "counts": counts(found), "jobs": [one.as_json() for one in found]})
    sys.exit(code)


def show(found: Sequence[Recovered]) -> None:
    """A line for each job, and one that counts them."""
    for one in found:
        out.print(f"{one.how:8} {one.batch} / {one.shot} / {one.slot}: {one.reason}", markup=False)
    if found:
        out.print(", ".join(f"{count} {how}" for how, count in counts(found).items()))


def counts(found: Sequence[Recovered]) -> dict[str, int]:
    """How many jobs went which way."""
    return dict(Counter(one.how for one in found))
