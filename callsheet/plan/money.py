"""The limits of a budget: which of the paid requests still fit.

They are taken in the order in which they are sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from callsheet.ledger.spend_window import Position, lacking


@dataclass(frozen=True, slots=True)
class Money:
    """The money of a campaign and mode (USD): the budget, what is spent, and reserved.

    The budget is None when there is none. `parked` requests worth `parked_usd` do not fit the budget any more.
    """

    budget: Decimal | None = None
    position: Position = field(default_factory=Position)
    parked: int = 0
    parked_usd: Decimal = Decimal(0)

    @property
    def left(self) -> Decimal | None:
        """The USD that may still be started; None without a budget."""
        return None if self.budget is None else max(Decimal(0), self.budget - self.position.committed)

    def sentence(self) -> str:
        """Return the budget for a person; "" without one."""
        if self.budget is None:
            return ""
        committed = f"${self.position.committed:.2f} of ${self.budget:.2f} is spent or held, ${self.left:.2f} is left"
        if not self.parked:
            return f"Budget: {committed}; the plan fits."
        return f"Budget: {committed}; {self.parked} requests worth ${self.parked_usd:.2f} do not fit and are parked."

    def as_json(self) -> dict[str, object]:
        """Return the money as `callsheet plan --json` prints it."""
        return {
            "usd": None if self.budget is None else float(self.budget),
            "spent": float(self.position.spent),
            "reserved": float(self.position.reserved),
            "left": None if self.left is None else float(self.left),
            "parked": self.parked,
            "parked_usd": float(self.parked_usd),
        }


def fitting(prices: Iterable[Decimal], budget: Decimal | None, position: Position) -> list[bool]:
    """Return for each price in turn whether its request may be sent.

    All that may have to be paid stays in the budget.
    """
    fits: list[bool] = []
    for price in prices:
        fits.append(not lacking(position, price, budget))
        if fits[-1]:
            position = Position(position.spent + price, position.reserved)
    return fits


def amount(low: Decimal, high: Decimal, places: int = 3) -> str:
    """Return an amount in USD, or the span of it: "0.034", "0.034-0.067"."""
    told = f"{low:.{places}f}", f"{high:.{places}f}"
    return told[0] if told[0] == told[1] else "-".join(told)
