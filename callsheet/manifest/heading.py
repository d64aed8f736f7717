"""What a manifest says about itself: the name of its campaign, and its budget."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import PurePosixPath

from callsheet.errors import Problem
from callsheet.manifest.columns import CAMPAIGN
from callsheet.manifest.expand import slug
from callsheet.manifest.load import Loaded
from callsheet.manifest.problems import Findings, quote_value
from callsheet.sources import split_sheet

_MAX_BUDGET = Decimal(10_000_000)


def read_campaign_name(uri: str, given: str | None, loaded: Loaded, *, findings: Findings) -> str:
    """Return the campaign that is given, else written, else the stem of the file."""
    written = given if given is not None else loaded.campaign
    if written is None:
        place, sheet = split_sheet(uri.rstrip("/"))
        stem = PurePosixPath(place).stem
        stem = "-".join(part for part in (stem.removesuffix(".status") if loaded.is_copy else stem, sheet) if part)
        return slug(stem.replace("_", "-")) or "campaign"
    if not CAMPAIGN.match(written):
        allowed = "allowed: a-z, 0-9, _ and -, first a letter or digit, at most 100 characters"
        hint = f"did you mean {slug(written)}?" if slug(written) else ""
        findings.problem(
            Problem(
                uri, loaded.lines.get("campaign", 1), "campaign", f"{quote_value(written)} is not fit", allowed, hint
            )
        )
    return written


def read_budget(uri: str, loaded: Loaded, findings: Findings) -> Decimal | None:
    """Return the budget that a manifest sets; a text that is no sum is noted."""
    if loaded.budget_usd is None:
        return None
    try:
        budget = Decimal(loaded.budget_usd)
    except InvalidOperation:
        budget = Decimal("NaN")
    if budget.is_finite() and 0 <= budget <= _MAX_BUDGET:
        return budget
    what = f"{quote_value(loaded.budget_usd)} is no budget"
    allowed = f"allowed: US dollars from 0 to {_MAX_BUDGET}, such as 12.50"
    findings.problem(Problem(uri, loaded.lines.get("budget_usd", 1), "budget_usd", what, allowed))
    return None
