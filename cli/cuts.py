"""`callsheet cuts`: archived clips cut to further aspects, for nothing."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any

import typer

from callsheet.cutting.plan import CUT_SPECS
from callsheet.settings import load_settings
from callsheet.social import CutsRequest, more_cuts
from cli.options import JsonOption
from cli.output import out, print_json

EXIT_UNFINISHED = 3


def cuts(
    batch: Annotated[str | None, typer.Argument(help="Batch name; or give --campaign.")] = None,
    aspect: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(CUT_SPECS)}; repeatable. Default: all of them.")
    ] = None,
    campaign: Annotated[str | None, typer.Option(help="The newest batch of this campaign.")] = None,
    every_edition: Annotated[
        bool, typer.Option("--every-edition", help="With --campaign: all its batches, not only the newest.")
    ] = False,
    live: Annotated[bool, typer.Option("--live", help="With --campaign: live batches instead of rehearsals.")] = False,
    shot: Annotated[list[str] | None, typer.Option(help="Only this shot; repeatable. Default: all.")] = None,
    json: JsonOption = False,
) -> None:
    """Cut clips that are in the archive to further aspects. Costs nothing; what is there is not cut again.

    Ends with 3 when a cut could not be made.
    """
    asked = CutsRequest(
        aspects=tuple(aspect or CUT_SPECS),
        batch=batch,
        campaign=campaign,
        editions="all" if every_edition else "newest",
        mode="live" if live else "rehearsal",
        shots=tuple(shot or ()),
    )
    made = asyncio.run(more_cuts(load_settings(), asked))
    for one in made:
        _show(one)
    code = EXIT_UNFINISHED if any(one["failed"] for one in made) else 0
    if json:
        print_json({"exit_code": code, "batches": made})
    sys.exit(code)


def _show(made: dict[str, Any]) -> None:
    counts = made["cuts"]
    out.print(
        f"{made['batch']}: {counts['created']} cuts made, {counts['reused']} there already, {counts['failed']} failed",
        markup=False,
    )
    for one in made["files"]:
        out.print(f"  {one['aspect']:5} {one['shot']}: {one['uri']}", markup=False)
    for one in made["failed"]:
        out.print(f"  {one['aspect']:5} {one['shot']}: not made: {one['why']}", markup=False)
