"""`callsheet ledger`: looking after the ledger itself."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from callsheet.archive.store import open_archive
from callsheet.clock import Clock
from callsheet.exit_codes import ExitCode
from callsheet.ledger import Ledger
from callsheet.providers.routes import scope_of
from callsheet.settings import load_settings
from callsheet.steps.rebuild import Rebuilt
from callsheet.steps.rebuild import rebuild as rebuild_from
from cli.options import JsonOption
from cli.output import out, print_json, say

app = typer.Typer(help="Look after the ledger.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def ledger() -> None:
    """Look after the ledger."""


@app.command("rebuild")
def rebuild(
    archive: Annotated[str | None, typer.Option(help="Folder or gs:// URI; default: CALLSHEET_ARCHIVE.")] = None,
    json: JsonOption = False,
) -> None:
    """Enter what an archive's sidecars tell into a ledger that lost it. Changes no row that is there; sends nothing.

    Ends with 3 when a sidecar was refused or a file is not what its sidecar tells.
    """
    rebuilt = asyncio.run(_rebuild(archive))
    for one in rebuilt.refused:
        say(f"refused {one.name}: {one.why}")
    for one in rebuilt.missing:
        say(f"not as told {one.name}: {one.why}")
    out.print(
        f"{rebuilt.sidecars} sidecars read. New: {rebuilt.batches} batches, {rebuilt.shots} shots, "
        f"{rebuilt.jobs} jobs, {rebuilt.assets} files. Refused: {len(rebuilt.refused)}. "
        f"Files not as told: {len(rebuilt.missing)}."
    )
    code = ExitCode.UNFINISHED if rebuilt.refused or rebuilt.missing else 0
    if json:
        print_json({"exit_code": code, **asdict(rebuilt)})
    sys.exit(code)


async def _rebuild(archive: str | None) -> Rebuilt:
    settings = load_settings(archive=archive)
    store = open_archive(settings)
    try:
        async with await Ledger.open(settings.ledger_url, clock=Clock()) as opened:
            return await rebuild_from(
                opened, store, {"live": scope_of(settings, "live"), "rehearsal": scope_of(settings, "rehearsal")}
            )
    finally:
        await store.aclose()
