"""How the money of the live routes stands, for a person: what was spent, and what may be. Sends nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from callsheet.ledger import Ledger
from callsheet.ledger.spend_window import SPEND_WINDOW, pacific_month, stricter
from callsheet.models import Catalogue
from callsheet.settings import Settings
from callsheet.steps.quotas import scopes_of
from callsheet.steps.spend_limits import spend_limits


@dataclass(frozen=True, slots=True)
class SpendRow:
    """USD of one route in the last ten minutes and this Pacific month, what is held included, and what may be spent.

    `goes_on_at` is until when a 429 lets everything wait, None for now.
    """

    route: str
    last_10min: Decimal
    per_10min: Decimal | None
    this_month: Decimal
    per_month: Decimal | None
    is_learned: bool
    goes_on_at: datetime | None

    def as_json(self) -> dict[str, object]:
        """The row of `callsheet quota --json`."""
        return {
            "route": self.route,
            "last_10min_usd": float(self.last_10min),
            "per_10min_usd": None if self.per_10min is None else float(self.per_10min),
            "this_month_usd": float(self.this_month),
            "per_month_usd": None if self.per_month is None else float(self.per_month),
            "source": "learned" if self.is_learned else "tier or settings",
            "goes_on_at": self.goes_on_at.isoformat() if self.goes_on_at else None,
        }


async def spend_rows(ledger: Ledger, settings: Settings, catalogue: Catalogue, now: datetime) -> list[SpendRow]:
    """Give a row for each live route whose money is limited, by tier, by the settings or by a 429."""
    rows: list[SpendRow] = []
    for scope in scopes_of(settings):
        limits = spend_limits(settings, catalogue, scope)
        learned, pause = await ledger.learned_spend(scope, now)
        per_10min = stricter(limits.per_10min, learned)
        if per_10min is None and limits.per_month is None and pause is None:
            continue
        rows.append(
            SpendRow(
                route=scope,
                last_10min=await ledger.spent_total(scope, now - SPEND_WINDOW, now),
                per_10min=per_10min,
                this_month=await ledger.spent_total(scope, pacific_month(now)[0], now),
                per_month=limits.per_month,
                is_learned=per_10min != limits.per_10min or pause is not None,
                goes_on_at=pause,
            )
        )
    return rows
