"""`callsheet assemble`: archived clips or cuts joined into one spot, for nothing."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json
from callsheet.settings import load_settings
from callsheet.shots import Mode


def assemble(
    batch: Annotated[str | None, typer.Argument(help="Batch name; or give --campaign.")] = None,
    name: Annotated[str, typer.Option(help="What the spot's files are called.")] = "spot",
    platform: Annotated[
        str | None,
        typer.Option("--for", help="Join the cuts for this platform or aspect; default: the clips as they are."),
    ] = None,
    shot: Annotated[
        list[str] | None, typer.Option(help="This shot next; repeatable, in this order. Default: all of the batch.")
    ] = None,
    crossfade: Annotated[float, typer.Option(help="Seconds that neighbours fade into each other.")] = 0.0,
    campaign: Annotated[str | None, typer.Option(help="The newest batch of this campaign.")] = None,
    live: Annotated[bool, typer.Option("--live", help="With --campaign: a live batch instead of a rehearsal.")] = False,
    json: JsonOption = False,
) -> None:
    """Join clips or cuts of a batch into one spot. Costs nothing.

    With it come poster, thumbnail and preview sheet.

    Hard cuts keep the pictures as they are where all parts have the same size, rate and encoder settings.
    """

    from callsheet.batch.spot import SpotRequest, make_spot_of

    mode: Mode = "live" if live else "rehearsal"
    asked = SpotRequest(batch, name, platform, tuple(shot or ()), crossfade, campaign, mode)
    made = asyncio.run(make_spot_of(load_settings(), asked))
    how = "made" if made["made"] else "there already"
    kept = "pictures as they were" if made["how"] == "copy" else f"encoded anew: {made['why']}"
    out.print(f"{made['name']}: {how}, {made['duration_s']:.1f} s of {len(made['parts'])} parts, {kept}", markup=False)
    for line in (made["sound"], made["uri"], made["sheet"]):
        if line:
            out.print(f"  {line}", markup=False)
    if json:
        print_json({"exit_code": 0, **made})
