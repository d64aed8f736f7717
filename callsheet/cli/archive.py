"""`callsheet archive`: looking after the archive itself."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from callsheet.cli.options import JsonOption
from callsheet.cli.output import out, print_json, say
from callsheet.exit_codes import ExitCode
from callsheet.settings import load_settings

if TYPE_CHECKING:  # the help and wrong usage are told at once
    from callsheet.archive.verify import Finding
    from callsheet.maintenance.service import Checked

ROWS = 60

app = typer.Typer(help="Look after the archive.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def archive() -> None:
    """Look after the archive."""


@app.command("verify")
def verify(
    batches: Annotated[list[str] | None, typer.Argument(help="Batch names; without any, all in the archive.")] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read every byte, instead of sizes and md5 on record.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Put right what can be, without paying.")] = False,
    json: JsonOption = False,
) -> None:
    """Check every file of a batch against sidecars, catalogue and success marker.

    Ends with 0 when all is whole, 3 when something listed is missing or changed. Files that nobody lists are told,
    and left alone.
    """

    from callsheet.cli.progress import Bars
    from callsheet.maintenance.service import verify_archive

    with Bars() as bars:
        checked = asyncio.run(verify_archive(load_settings(), batches or [], deep=deep, mend=repair, tell=bars.tell))
    for one in checked:
        _show(one)
    code = 0 if all(one.whole for one in checked) else ExitCode.UNFINISHED
    out.print(_sum(checked), markup=False)
    if code and not repair:
        say("`callsheet archive verify --repair` puts right what spool, ledger and provider can still give.")
    if json:
        print_json({"exit_code": code, "counts": _counts(checked), "batches": [one.as_json() for one in checked]})
    sys.exit(code)


@app.command("copy")
def copy(
    batch: Annotated[str, typer.Argument(help="Batch name.")],
    target: Annotated[str, typer.Argument(help="The other archive: a folder or gs://bucket/prefix.")],
    json: JsonOption = False,
) -> None:
    """Copy a batch into another archive, every file verified.

    The same command goes on with an interrupted copy.

    Ends with 3 when something could not be copied: there is then no success marker in the other archive.
    """

    from callsheet.cli.progress import Bars
    from callsheet.maintenance.service import copy_to

    with Bars() as bars:
        copied, place = asyncio.run(copy_to(load_settings(), batch, target, bars.tell))
    for name, why in copied.left.items():
        out.print(f"  left {name}: {why}", markup=False)
    size = copied.bytes / 1e6
    out.print(
        f"{batch}: {copied.files} files copied ({size:.1f} MB), {copied.present} there already, "
        f"{len(copied.left)} left behind. {place}",
        markup=False,
    )
    code = ExitCode.UNFINISHED if copied.left else 0
    if json:
        print_json({"exit_code": code, "batch": batch, "target": place, **asdict(copied)})
    sys.exit(code)


def _show(checked: Checked) -> None:
    """Print the batch in a line, and what was found in it."""
    size = checked.bytes / 1e6
    status = f", {checked.status}" if checked.status == "continuing" else ""
    how = "whole" if checked.whole else "not whole"
    out.print(f"{checked.batch}: {how}, {checked.objects} files, {size:.1f} MB{status}", markup=False)
    for one in checked.findings[:ROWS]:
        out.print(_line(one), markup=False)
    if len(checked.findings) > ROWS:
        out.print(f"  ... and {len(checked.findings) - ROWS} more (all of them with --json)")


def _line(one: Finding) -> str:
    wrong = "repaired" if one.mended else one.wrong
    return f"  {wrong:12} {one.name}: {' '.join(part for part in (one.why, one.done) if part)}"


def _counts(checked: Sequence[Checked]) -> dict[str, int]:
    found = [one for batch in checked for one in batch.findings]
    left = Counter(one.wrong for one in found if not one.mended)
    return {
        "batches": len(checked),
        "whole": sum(one.whole for one in checked),
        "objects": sum(one.objects for one in checked),
        **{wrong: left[wrong] for wrong in ("missing", "changed", "uncatalogued", "foreign")},
        "repaired": sum(one.mended for one in found),
    }


def _sum(checked: Sequence[Checked]) -> str:
    counts = _counts(checked)
    told = ", ".join(
        f"{counts[name]} {name}"
        for name in ("missing", "changed", "uncatalogued", "foreign", "repaired")
        if counts[name]
    )
    return f"{counts['whole']} of {counts['batches']} batches whole, {counts['objects']} files" + (
        f": {told}." if told else "."
    )
