"""What may be spent on a route in ten minutes and in a month: by the settings, else by the tier."""

from __future__ import annotations

from decimal import Decimal

from callsheet.ledger.spend_window import SpendLimits
from callsheet.models import Catalogue
from callsheet.settings import Settings


def spend_limits(settings: Settings, catalogue: Catalogue, scope: str) -> SpendLimits:
    """Give the limits of a scope's money: the live Gemini API has some, by tier; 0 in the settings takes one away."""
    if scope.partition(":")[0] != "gemini_api":
        return SpendLimits()
    known = catalogue.spend_usd.get(str(settings.tier)) or catalogue.spend_usd.get("any")
    return SpendLimits(
        _given(settings.spend_10min_usd, known.per_10min if known else None),
        _given(settings.spend_month_usd, known.per_month if known else None),
    )


def _given(setting: Decimal | None, known: Decimal | None) -> Decimal | None:
    return (known if setting is None else setting) or None
