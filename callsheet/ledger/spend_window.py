"""Limits of spending in ten minutes and in a month, as arithmetic.

They are kept like requests a minute and a day. Since 2026 the Gemini API limits by tier what a project spends in any
rolling ten minutes, and in a calendar month (ai.google.dev/gemini-api/docs/rate-limits and /billing, read 2026-09).
Where it applies depends on billing history.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from callsheet.ledger.quota import MARGIN, PACIFIC


@dataclass(frozen=True, slots=True)
class Position:
    """Money of a batch or campaign, in USD.

    `spent` is gone, `reserved` is set aside for submissions not settled yet.
    """

    spent: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)

    @property
    def committed(self) -> Decimal:
        """The USD that may have to be paid in all for what was started so far."""
        return self.spent + self.reserved


def lacking(position: Position, estimate: Decimal, budget: Decimal | None) -> Decimal:
    """Return by how many USD the next submission could exceed the budget.

    0 when it fits or there is no budget.
    """
    if budget is None:
        return Decimal(0)
    return max(Decimal(0), position.committed + estimate - budget)


SPEND_WINDOW = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class SpendLimits:
    """USD in any ten minutes and in a Pacific month; None is unlimited."""

    per_10min: Decimal | None = None
    per_month: Decimal | None = None


def earliest(spent: Iterable[tuple[datetime, Decimal]], at: datetime, usd: Decimal, limit: Decimal) -> datetime:
    """Return the earliest moment at which every ten minutes stay within the limit.

    It is not before `at`; `usd` is to be spent then. `spent` is what was sent or has a slot, the latest first. A
    request that is dearer than the limit goes alone.
    """
    total = usd
    for moment, amount in spent:
        total += amount
        if total > limit:
            return max(at, moment + SPEND_WINDOW + MARGIN)
    return at


def stricter(given: Decimal | None, learned: Decimal | None) -> Decimal | None:
    """Return the lower of the limit that is given and the one that a 429 taught."""
    return min((usd for usd in (given, learned) if usd is not None), default=None)


def pacific_month(moment: datetime) -> tuple[datetime, datetime]:
    """Return start and end of the Pacific calendar month of the moment."""
    local = moment.astimezone(PACIFIC)
    start = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return start.astimezone(moment.tzinfo), end.astimezone(moment.tzinfo)
