"""`callsheet cuts`: archived clips cut for further platforms, for nothing."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any

import typer

from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json
from callsheet.exit_codes import ExitCode
from callsheet.platforms.spec import PLAIN
from callsheet.settings import load_settings

Names = list[str] | None


def cuts(
    batch: Annotated[str | None, typer.Argument(help="Batch name; or give --campaign or --query.")] = None,
    platforms: Annotated[
        Names,
        typer.Option(
            "--for",
            "--aspect",
            help="Platform or aspect, such as reels or 1x1; repeatable. See `callsheet platforms`. "
            f"Default: {', '.join(PLAIN)}.",
        ),
    ] = None,
    campaign: Annotated[str | None, typer.Option(help="The newest batch of this campaign.")] = None,
    query: Annotated[
        Names, typer.Option(help="Clips whose prompt, shot, tags or campaign have these words; repeatable.")
    ] = None,
    tag: Annotated[Names, typer.Option(help="Clips with this tag; of several, all must be there.")] = None,
    every_edition: Annotated[
        bool, typer.Option("--every-edition", help="With --campaign: all its batches, not only the newest.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="With --campaign or --query: live batches instead of rehearsals.")
    ] = False,
    shot: Annotated[Names, typer.Option(help="Only this shot; repeatable. Default: all.")] = None,
    focus: Annotated[
        str | None, typer.Option(help="Where to look, instead of what the manifest says: left, 0.3,0.5, auto ...")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Cut clips that are in the archive for further platforms.

    Costs nothing; what is there is not cut again.

    Captions, logo and the like are those of the manifest. Ends with 3 when a cut could not be made.
    """

    from callsheet.batch.recut import CutsRequest, more_cuts

    asked = CutsRequest(
        platforms=tuple(platforms or PLAIN),
        batch=batch,
        campaign=campaign,
        editions="all" if every_edition else "newest",
        mode="live" if live else "rehearsal",
        shots=tuple(shot or ()),
        words=tuple(word for words in query or () for word in words.split()),
        tags=tuple(tag or ()),
        focus=focus,
    )
    made = asyncio.run(more_cuts(load_settings(), asked))
    for one in made:
        _show(one)
    code = ExitCode.UNFINISHED if any(one["failed"] for one in made) else 0
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
        out.print(f"  {one['platform']:9} {one['shot']}: {one['uri']}", markup=False)
    for one in made["failed"]:
        out.print(f"  {one['platform']:9} {one['shot']}: not made: {one['why']}", markup=False)
