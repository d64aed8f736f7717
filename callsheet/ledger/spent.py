"""Recent spending in a scope: attempts that were sent, or have a slot.

What is not settled counts as estimated. A month has many thousands of attempts, and every `begin` asks: the database
adds them up over the index `attempts_spent`, and one row comes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Select, bindparam, func, or_, select, type_coerce

from callsheet.ledger.dialect import MicroUsd, UtcTime
from callsheet.ledger.prepared import fetch, fetch_all
from callsheet.ledger.quota import LONGEST_PAUSE, MARGIN, WINDOW, DayFull, Slot
from callsheet.ledger.quota_usage import learned_spend
from callsheet.ledger.rows import DROPPED, RESERVED, ZERO
from callsheet.ledger.scopes import bind_names, is_in, names_of
from callsheet.ledger.spend_window import SPEND_WINDOW, SpendLimits, pacific_month, stricter
from callsheet.ledger.tables import attempts

_USD = type_coerce(attempts.c.usd + attempts.c.reserved_usd, MicroUsd())


@dataclass(frozen=True, slots=True)
class _SpendQueries:
    """The statements about the money of a scope of so many names.

    They are built once so that they are compiled once.
    """

    each: Select[Any]
    total: Select[Any]
    crowded: Select[Any]


@lru_cache(maxsize=32)
def _build_queries(names: int, waiting: bool) -> _SpendQueries:
    since: BindParameter[datetime] = bindparam("since", type_=UtcTime)
    latest: BindParameter[datetime] = bindparam("latest", type_=UtcTime)
    counts: list[ColumnElement[bool]] = [
        is_in(attempts.c.scope, names),
        attempts.c.at > since,
        attempts.c.outcome != DROPPED,
        _USD > ZERO,
        or_(attempts.c.at <= latest, attempts.c.outcome == RESERVED),
    ]
    if not waiting:
        counts.append(attempts.c.outcome != RESERVED)
    # What was spent at each moment and after it: the latest moment at which that is too much is in the way.
    running = func.sum(_USD).over(order_by=attempts.c.at.desc(), rows=(None, 0))
    sums = select(attempts.c.at, running.label("total")).where(*counts).subquery()
    room: BindParameter[Decimal] = bindparam("room", type_=MicroUsd)
    return _SpendQueries(
        each=select(attempts.c.at, _USD).where(*counts).order_by(attempts.c.at.desc()),
        total=select(func.sum(_USD, type_=MicroUsd)).where(*counts),
        crowded=select(func.max(sums.c.at, type_=UtcTime)).where(sums.c.total > room),
    )


@dataclass(frozen=True, slots=True)
class Spent:
    """The money on record for a scope.

    `waiting`: slots that are reserved, not used yet, count.
    """

    connection: Connection
    scope: str
    now: datetime
    waiting: bool = True

    def each(self, since: datetime) -> Iterator[tuple[datetime, Decimal]]:
        """Yield time and USD of what was sent since then, the latest first."""
        queries, where = self._bind_scope(since)
        return ((at, usd) for at, usd in fetch_all(self.connection, queries.each, where))

    def total(self, since: datetime) -> Decimal:
        """Return the USD spent since then."""
        queries, where = self._bind_scope(since)
        row = fetch(self.connection, queries.total, where)
        return (row[0] if row else None) or ZERO

    def crowded_until(self, since: datetime, room: Decimal) -> datetime | None:
        """Return the latest moment from which on more than `room` USD was spent.

        None when there is none.
        """
        queries, where = self._bind_scope(since)
        row = fetch(self.connection, queries.crowded, {**where, "room": room})
        return row[0] if row else None

    def _bind_scope(self, since: datetime) -> tuple[_SpendQueries, dict[str, object]]:
        names = names_of(self.connection, self.scope)
        return _build_queries(len(names), self.waiting), {
            **bind_names(names),
            "since": since,
            "latest": self.now + WINDOW,
        }


def within_spend(spent: Spent, limits: SpendLimits, usd: Decimal, slot: Slot) -> Slot | DayFull:
    """Move a slot to where the ten minutes have room for the money.

    DayFull until the month ends when that has none. The slot is the one that `spend_window.earliest` finds.
    """
    learned, pause = learned_spend(spent.connection, spent.scope, spent.now)
    if pause is not None:
        if pause - spent.now > LONGEST_PAUSE:
            return DayFull(pause)
        slot = Slot(max(slot.not_before, pause))
    if limits.per_month is not None:
        start, end = pacific_month(slot.not_before)
        if spent.total(start) + usd > limits.per_month > ZERO:
            return DayFull(end)
    per_10min = stricter(limits.per_10min, learned)
    if per_10min is not None:
        crowded = spent.crowded_until(spent.now - SPEND_WINDOW - MARGIN, per_10min - usd)
        if crowded is not None:
            return Slot(max(slot.not_before, crowded + SPEND_WINDOW + MARGIN))
    return slot
