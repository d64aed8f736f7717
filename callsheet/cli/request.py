"""From a command's options to a request."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from callsheet.batch.request import RunRequest
from callsheet.editions import edition_at
from callsheet.errors import SettingsError
from callsheet.plan.plan_file import PlanFile, read_plan


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
    pairs = [item.partition("=") for item in var or []]
    if bad := [name for name, equals, _ in pairs if not equals or not name]:
        raise SettingsError(f"--var needs name=value, not {bad[0]!r}.")
    variables = {name: value for name, _, value in pairs}
    edition = edition_at(edition, datetime.now().astimezone()) if edition else edition
    return RunRequest(manifest, live, edition, campaign, variables, _usd(budget), remake)


def complete_request(given: RunRequest) -> RunRequest:
    """Complete a request from its plan file where nothing else is given.

    SettingsError when the two contradict.
    """
    if given.plan is None:
        if not given.manifest:
            raise SettingsError("Name a manifest, or a plan of it: callsheet run MANIFEST, or --plan FILE.")
        return given
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
