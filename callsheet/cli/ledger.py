"""`callsheet ledger`: looking after the ledger itself."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from callsheet.archive.open import open_archive
from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json, say
from callsheet.clock import Clock
from callsheet.errors import SettingsError
from callsheet.exit_codes import ExitCode
from callsheet.settings import load_settings
from callsheet.shots import Batch, Mode

if TYPE_CHECKING:  # the help and wrong usage are told at once
    from callsheet.batch.other_ledgers import TakenOver
    from callsheet.providers.routing import Scopes

app = typer.Typer(help="Look after the ledger.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def ledger() -> None:
    """Look after the ledger."""


@app.command("rebuild")
def rebuild(
    archive: Annotated[str | None, typer.Option(help="Folder or gs:// URI; default: CALLSHEET_ARCHIVE.")] = None,
    batch: Annotated[str | None, typer.Option("--batch", help="This batch only; default: all of them.")] = None,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over", help="Work on the batch with this ledger from now on, although another one has claimed it."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Enter what an archive's sidecars tell into a ledger that lost it. Sends nothing.

    What the ledger knows stays as it is, unless the archive proves more. With --take-over this ledger may go on with a
    batch that another one has claimed: only when that one is lost and no run of it is alive. Ends with 3 when a sidecar
    was refused or a file is not what its sidecar tells.
    """
    if take_over and batch is None:
        raise SettingsError("--take-over needs --batch: batches are taken over one by one. Nothing was changed.")
    taken = asyncio.run(_rebuild(archive, batch, take_over))
    rebuilt = taken.rebuilt
    for name in taken.unexplained:
        say(f"unexplained {name}: put on record as a file that no known request gave.")
    for name in taken.set_aside:
        say(f"set aside {name}: it cannot be read, and is kept in the batch's .damaged folder.")
    for shot, slot in taken.in_doubt:
        say(f"in doubt {shot} {slot}: a request may have been sent. It is held until `callsheet resolve` decides.")
    if taken.claim:
        say(f"Taken over from ledger {taken.claim.ledger[:12]}.")
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
        told = {name: list(getattr(taken, name)) for name in ("unexplained", "set_aside", "in_doubt")}
        more = told if take_over else {}
        print_json({"exit_code": code, **asdict(rebuilt), **more})
    sys.exit(code)


async def _rebuild(archive: str | None, name: str | None, everything: bool) -> TakenOver:
    from callsheet.batch.other_ledgers import TakenOver
    from callsheet.batch.other_ledgers import take_over as take_over_batch
    from callsheet.ledger import Ledger
    from callsheet.providers.routing import scope_of
    from callsheet.reconcile.rebuild_ledger import rebuild as rebuild_from

    settings = load_settings(archive=archive)
    batch = Batch.parse(name) if name else None
    if name and batch is None:
        raise SettingsError(f"{name[:200]!r} is not the name of a batch, such as spring.live. Nothing was changed.")
    store = open_archive(settings)
    scopes: dict[Mode, Scopes] = {"live": scope_of(settings, "live"), "rehearsal": scope_of(settings, "rehearsal")}
    try:
        async with await Ledger.open(settings.ledger_url, clock=Clock()) as opened:
            if batch is not None and everything:
                return await take_over_batch(opened, store, batch, scopes)
            return TakenOver(await rebuild_from(opened, store, scopes, batch), None, (), ())
    finally:
        await store.aclose()
