"""Options of several commands, and what they ask for: a request, or a query.

Each is read, or refused with what is allowed. What takes time to import is imported where it is used: every command
reads this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from callsheet.cli.output import keep_stdout_for_json
from callsheet.errors import SettingsError

if TYPE_CHECKING:
    from callsheet.batch.request import RunRequest
    from callsheet.manifest.left_out import OnBadRow
    from callsheet.plan.plan_file import PlanFile
    from callsheet.settings import Settings

_MANIFEST = (
    "CSV, TSV, XLSX (file.xlsx#Sheet) or YAML file: a path or any fsspec URI (gs://...), or a Google Sheet's URL"
)
ManifestArgument = Annotated[str | None, typer.Argument(help=f"{_MANIFEST}; default: CALLSHEET_MANIFEST.")]
LiveOption = Annotated[bool, typer.Option("--live", help="For the real, paid service instead of a rehearsal.")]
EditionOption = Annotated[
    str | None, typer.Option(help="Make the batch afresh under this name; {date}, {week} or {month} in it is today's.")
]
CampaignOption = Annotated[str | None, typer.Option(help="Campaign name; default: from the manifest.")]
VarOption = Annotated[list[str] | None, typer.Option("--var", help="name=value for the manifest; repeatable.")]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Refuse columns that are not known and that no text uses.")
]
OnBadRowOption = Annotated[
    str,
    typer.Option("--on-bad-row", help="A row that is wrong: stop makes nothing, skip makes the rest (exit code 3)."),
]
BudgetOption = Annotated[str | None, typer.Option("--budget", help="USD that the campaign may cost in all.")]
PlanOption = Annotated[
    str | None,
    typer.Option("--plan", help="Follow this file of `plan --out` exactly, or refuse when the world changed."),
]
ArchiveOption = Annotated[str | None, typer.Option(help="Folder or gs:// URI; default: CALLSHEET_ARCHIVE.")]
_JSON = "Print one JSON object on stdout, and all else on stderr."
JsonOption = Annotated[bool, typer.Option("--json", help=_JSON, callback=keep_stdout_for_json)]
_LONGEST_NAME = 300
_NEAR = 60


def request_of(
    manifest: str,
    live: bool,
    edition: str | None,
    campaign: str | None,
    var: list[str] | None,
    budget: str | None = None,
    remake: bool = False,
) -> RunRequest:
    """Return the options as a request.

    SettingsError for a --var, --budget or --edition that cannot be read.

    `{date}` and the like in an edition are those of now, on this machine's clock.
    """
    from callsheet.batch.request import RunRequest, edition_at

    pairs = [item.partition("=") for item in var or []]
    if bad := [name for name, equals, _ in pairs if not equals or not name]:
        raise SettingsError(f"--var needs name=value, not {bad[0]!r}.")
    variables = {name: value for name, _, value in pairs}
    usd = None if budget is None else _read_usd("--budget", budget, "25 or 12.50")
    edition = edition_at(edition, datetime.now().astimezone()) if edition else edition
    return RunRequest(manifest, live, edition, campaign, variables, usd, remake)


def manifest_of(given: str | None, settings: Settings) -> str:
    """Return the sheet that is named, else that of the settings.

    SettingsError when there is none.
    """
    if sheet := given or settings.manifest:
        return sheet
    raise SettingsError(
        "Name a sheet, first.csv say, or one for all commands: CALLSHEET_MANIFEST, or `manifest` in callsheet.toml. "
        "`callsheet init` makes a first one."
    )


def read_on_bad_row(given: str) -> OnBadRow:
    """Return what becomes of a row that is wrong; SettingsError for another word."""
    from callsheet.manifest.left_out import ON_BAD_ROW

    word = one_of("--on-bad-row", given, ON_BAD_ROW)
    return next(each for each in ON_BAD_ROW if each == word)


def complete_request(given: RunRequest, settings: Settings) -> RunRequest:
    """Complete a request from its plan file or the settings.

    SettingsError when it contradicts the plan.
    """
    if given.plan is None:
        return replace(given, manifest=manifest_of(given.manifest, settings))
    from callsheet.plan.plan_file import read_plan

    planned = read_plan(Path(given.plan))
    if contradictions := _contradictions(given, planned):
        raise SettingsError(
            f"{given.plan} is a plan for something else. Nothing was sent.\n  " + "\n  ".join(contradictions)
        )
    return replace(
        given,
        manifest=given.manifest or planned.manifest,
        edition=planned.edition,
        campaign=planned.campaign,
        variables=planned.variables,
        budget_usd=planned.budget_usd if given.budget_usd is None else given.budget_usd,
        on_bad_row=planned.on_bad_row if given.on_bad_row == "stop" else given.on_bad_row,
    )


def _contradictions(given: RunRequest, planned: PlanFile) -> list[str]:
    found = ["--remake does not go with a plan: what is made again was not planned."] if given.remake else []
    if given.only or given.free:
        found.append("--only and --free do not go with a plan: all of it is done, and nothing else.")
    mode = "live" if given.live else "rehearsal"
    if mode != planned.mode:
        found.append(f"It is for {planned.mode}: run it {'with' if planned.mode == 'live' else 'without'} --live.")
    if given.edition not in (None, planned.edition):
        found.append(f"It is for edition {planned.edition or 'none'}, not {given.edition}.")
    if given.campaign not in (None, planned.campaign):
        found.append(f"It is for campaign {planned.campaign}, not {given.campaign}.")
    if given.variables and given.variables != planned.variables:
        found.append("It was made with other variables (--var).")
    return found


def names(option: str, given: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names given with an option that can be repeated."""
    for name in given or ():
        if not name.strip() or len(name) > _LONGEST_NAME:
            raise SettingsError(f"{option} needs a name of 1 to {_LONGEST_NAME} characters, not {name[:40]!r}.")
    return tuple(given or ())


def one_of(option: str, given: str, allowed: Sequence[str]) -> str:
    """One of the words allowed, in any case."""
    if (word := given.casefold()) in allowed:
        return word
    near = nearest(word, allowed)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise SettingsError(f"{option} is one of {', '.join(allowed)}, not {given[:40]!r}.{hint}")


def nearest(word: str, known: Sequence[str]) -> list[str]:
    """Up to three known words that come near, the nearest first."""
    from rapidfuzz import process

    folded = {one: one.casefold() for one in known}
    return [str(one) for *_, one in process.extract(word.casefold(), folded, limit=3, score_cutoff=_NEAR)]


def period(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """First moment and first moment that is too late."""
    first = _moment("--since", since) if since is not None else None
    after = _moment("--until", until, after=True) if until is not None else None
    if first and after and first >= after:
        raise SettingsError(f"--since {since} is after --until {until}: nothing can lie between them.")
    return first, after


def costs(low: str | None, high: str | None) -> tuple[Decimal | None, Decimal | None]:
    """Least and most, in USD."""
    least = _read_usd("--min-usd", low) if low is not None else None
    most = _read_usd("--max-usd", high) if high is not None else None
    if least is not None and most is not None and least > most:
        raise SettingsError(f"--min-usd {low} is more than --max-usd {high}: nothing can cost both.")
    return least, most


def _moment(option: str, given: str, *, after: bool = False) -> datetime:
    """Return the first moment of a day, or a moment itself.

    `after`: the first one that comes later. UTC without an offset.
    """
    try:
        if len(given) <= len("2026-11-01"):
            return datetime.combine(date.fromisoformat(given), time(), UTC) + timedelta(days=after)
        moment = datetime.fromisoformat(given)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return moment + timedelta(microseconds=after)
    except (ValueError, OverflowError):
        raise SettingsError(
            f"{option} needs a day such as 2026-11-01, or a time such as 2026-11-01T09:30, not {given[:40]!r}."
        ) from None


def _read_usd(option: str, given: str, such_as: str = "0.5 or 12") -> Decimal:
    try:
        usd = Decimal(given)
    except InvalidOperation:
        usd = Decimal(-1)
    if not usd.is_finite() or usd < 0:
        raise SettingsError(f"{option} needs an amount in USD such as {such_as}, not {given[:40]!r}.")
    return usd
