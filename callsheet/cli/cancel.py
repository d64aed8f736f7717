"""`callsheet cancel`: have the provider stop what is under way."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json, say
from callsheet.errors import SettingsError
from callsheet.exit_codes import ExitCode
from callsheet.settings import Settings, load_settings
from callsheet.shots import Batch

if TYPE_CHECKING:  # the help and wrong usage are told at once
    from callsheet.batch.cancel import Cancellation
    from callsheet.ledger import Job


def cancel(
    batch: Annotated[str, typer.Argument(help="Batch name, as `callsheet status` shows it.")],
    shot: Annotated[list[str] | None, typer.Option("--shot", help="Only this shot; may be repeated.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    json: JsonOption = False,
) -> None:
    """Have the provider stop the videos of a batch that are under way.

    What is finished by then is fetched and kept. What is cancelled has failed for good: a run sends it again only with
    --remake. Veo's operations cannot be cancelled. What is not sent yet is left alone: stop a run that goes on first.

    Ends with 0 when all of it is over, 4 while some may still end or could not be asked, 3 when some cannot be
    stopped.
    """

    from callsheet.batch.cancel import cancel_operations, exit_code_of, find_operations

    settings = load_settings()
    found, jobs = asyncio.run(find_operations(settings, batch, shot or ()))
    if jobs:
        _agree(settings, jobs, yes=yes)
    ended = asyncio.run(cancel_operations(settings, found, jobs)) if jobs else []
    _show(found, ended)
    code = exit_code_of(ended)
    if json:
        counts = dict(Counter(one.how for one in ended))
        told = [one.as_json() for one in ended]
        print_json({"exit_code": int(code), "batch": found.name, "mode": found.mode, "counts": counts, "jobs": told})
    if code is not ExitCode.DONE:
        sys.exit(code)


def _agree(settings: Settings, jobs: Sequence[Job], *, yes: bool) -> None:
    """Show what would be cancelled, and have it agreed to.

    SettingsError when it is not; then nothing was asked.
    """

    from callsheet.batch.cancel import can_be_cancelled
    from callsheet.models import load_catalogue

    catalogue = load_catalogue(settings.catalogue)
    stoppable = [job for job in jobs if can_be_cancelled(job, catalogue)]
    if yes or not stoppable:
        return
    for job in stoppable:
        out.print(f"{job.shot} / {job.slot}: {job.model}, {job.estimated_usd:.2f} USD, {job.operation}", markup=False)
    if not sys.stdin.isatty():
        raise SettingsError(
            f"This would cancel {len(stoppable)} of {len(jobs)} operations. Without a terminal, agree with --yes. "
            "Nothing was cancelled."
        )
    if not typer.confirm(f"Cancel {len(stoppable)} of {len(jobs)} operations?", err=True):
        raise SettingsError("Not agreed to. Nothing was cancelled.")


def _show(batch: Batch, ended: Sequence[Cancellation]) -> None:
    """Print a line for each operation, and how to go on."""
    for one in ended:
        out.print(f"{one.how:9} {one.job.shot} / {one.job.slot}: {one.reason}", markup=False)
    if not ended:
        say(f"Nothing of {batch.name} is under way at a provider.")
    elif any(one.how == "cancelled" for one in ended):
        say("When the bill is there: `callsheet resolve KEY --usd AMOUNT` tells what a cancelled one cost.")
