"""What was spent in a scope lately: sent, or holding a slot; what is not settled counts as estimated."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, or_, select

from callsheet.ledger.quota import MARGIN, WINDOW, DayFull, Slot
from callsheet.ledger.rows import DROPPED, RESERVED, ZERO
from callsheet.ledger.scopes import names_of
from callsheet.ledger.spend_window import SPEND_WINDOW, SpendLimits, earliest, pacific_month
from callsheet.ledger.tables import attempts


def spent_since(
    connection: Connection, scope: str, since: datetime, now: datetime, *, waiting: bool = True
) -> Iterator[tuple[datetime, Decimal]]:
    """Yield time and USD of what was sent since then, the latest first; `waiting`: with the slots that are held."""
    table = attempts.c
    statement = (
        select(table.at, table.usd, table.reserved_usd)
        .where(table.scope.in_(names_of(connection, scope)), table.at > since, table.outcome != DROPPED)
        .where(or_(table.at <= now + WINDOW, table.outcome == RESERVED))
        .order_by(table.at.desc())
    )
    for at, usd, reserved in connection.execute(statement if waiting else statement.where(table.outcome != RESERVED)):
        if usd or reserved:
            yield at, usd + reserved


def within_spend(
    connection: Connection, scope: str, limits: SpendLimits, usd: Decimal, slot: Slot, now: datetime, *, waiting: bool
) -> Slot | DayFull:
    """Move a slot to where the ten minutes have room for the money; DayFull until the month ends when that has none."""
    if limits.per_month is not None:
        start, end = pacific_month(slot.not_before)
        rows = spent_since(connection, scope, start, now, waiting=waiting)
        if sum((amount for _, amount in rows), usd) > limits.per_month > ZERO:
            return DayFull(end)
    if limits.per_10min is not None:
        recent = spent_since(connection, scope, now - SPEND_WINDOW - MARGIN, now, waiting=waiting)
        return Slot(earliest(recent, slot.not_before, usd, limits.per_10min))
    return slot
