"""The options that several commands share."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from callsheet.errors import SettingsError
from callsheet.run import RunRequest

ManifestArgument = Annotated[str, typer.Argument(help="CSV, TSV or YAML file: a path or any fsspec URI (gs://...).")]
LiveOption = Annotated[bool, typer.Option("--live", help="For the real, paid service instead of a rehearsal.")]
EditionOption = Annotated[str | None, typer.Option(help="Make the batch afresh under this name, a date say.")]
CampaignOption = Annotated[str | None, typer.Option(help="Campaign name; default: from the manifest.")]
VarOption = Annotated[list[str] | None, typer.Option("--var", help="name=value for the manifest; repeatable.")]
BudgetOption = Annotated[str | None, typer.Option("--budget", help="USD that the campaign may cost in all.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")]


def request_of(
    manifest: str,
    live: bool,
    edition: str | None,
    campaign: str | None,
    var: list[str] | None,
    budget: str | None = None,
    remake: bool = False,
) -> RunRequest:
    """The options as a request; SettingsError for a --var or --budget that cannot be read."""
    pairs = [item.partition("=") for item in var or []]
    if bad := [name for name, equals, _ in pairs if not equals or not name]:
        raise SettingsError(f"--var needs name=value, not {bad[0]!r}.")
    variables = {name: value for name, _, value in pairs}
    return RunRequest(manifest, live, edition, campaign, variables, _usd(budget), remake)


def _usd(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        usd = Decimal(text)
    except InvalidOperation:
        usd = Decimal(-1)
    if not usd.is_finite() or usd < 0:
        raise SettingsError(f"--budget needs an amount in USD such as 25 or 12.50, not {text!r}.")
    return usd
