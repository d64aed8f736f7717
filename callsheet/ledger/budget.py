"""Budget as arithmetic: may the next submission be started."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Position:
    """Money of a batch or campaign: `spent` is gone, `reserved` is held by submissions not settled yet. In USD."""

    spent: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)

    @property
    def committed(self) -> Decimal:
        """What may have to be paid in all for what was started so far."""
        return self.spent + self.reserved


def lacking(position: Position, estimate: Decimal, budget: Decimal | None) -> Decimal:
    """By how many USD the next submission could exceed the budget; 0 when it fits or there is no budget."""
    if budget is None:
        return Decimal(0)
    return max(Decimal(0), position.committed + estimate - budget)
