"""What is known of each model's route: use so far, closed routes, learned limits.

A forecast of the next requests begins with it. Money that is not settled counts as estimated. A month has many
thousands of attempts, and every `begin` asks: the database adds them up over the index `attempts_spent`, and one row
comes back. A route that a provider refused for good is closed on record; limits that 429 replies stated are shown and
forgotten here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    type_coerce,
)

from callsheet.ledger.dialect import MicroUsd, UtcTime
from callsheet.ledger.prepared import fetch, fetch_all
from callsheet.ledger.quota import (
    LONGEST_PAUSE,
    MARGIN,
    WINDOW,
    DayFull,
    Learned,
    Slot,
    bind_names,
    is_in,
    names_of,
    pacific_day,
)
from callsheet.ledger.quota_usage import ALL, CLOSED, AttemptTimes, learned, learned_spend
from callsheet.ledger.rows import DROPPED, RESERVED, ZERO
from callsheet.ledger.spend_window import SPEND_WINDOW, SpendLimits, pacific_month, stricter
from callsheet.ledger.tables import attempts, learned_limits

_USD = type_coerce(attempts.c.usd + attempts.c.reserved_usd, MicroUsd())
# A route stays marked until a request is taken again; the column needs an end.
_FOR_GOOD = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Use:
    """The requests to one model that count against its quota now.

    `times` are those of the latest (ascending), `today` the number of today's (Pacific day). `learned` is what 429
    replies said and is still trusted. `closed_since`: the provider refused for good (billing, a limit of 0), and no
    request was accepted since.
    """

    times: tuple[datetime, ...] = ()
    today: int = 0
    learned: Learned = field(default_factory=Learned)
    closed_since: datetime | None = None


def use_of(connection: Connection, scopes: Mapping[str, str], now: datetime) -> dict[str, Use]:
    """Return the use of each model by all that share the quota of its scope."""
    return {model: _read_use(connection, scope, model, now) for model, scope in scopes.items()}


def _read_use(connection: Connection, scope: str, model: str, now: datetime) -> Use:
    today = AttemptTimes(connection, scope, model, now).count(*pacific_day(now))
    closed = select_closed_models(connection, scope)
    since = closed.get(ALL) or closed.get(model)
    return Use(tuple(_read_latest(connection, scope, model, now)), today, learned(connection, scope, model, now), since)


def _read_latest(connection: Connection, scope: str, model: str, now: datetime) -> list[datetime]:
    statement = (
        select(attempts.c.at)
        .where(
            attempts.c.scope.in_(names_of(connection, scope)), attempts.c.model == model, attempts.c.outcome != DROPPED
        )
        # What is not waiting for its slot and lies far in the future is of another (faster) clock.
        .where(attempts.c.at > now - 2 * WINDOW, or_(attempts.c.at <= now + WINDOW, attempts.c.outcome == RESERVED))
        .order_by(attempts.c.at)
    )
    return list(connection.execute(statement).scalars())


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


def close_route(connection: Connection, now: datetime, scope: str, model: str) -> None:
    """Mark a model of a scope (ALL: every one) as closed: refused for good."""
    open_route(connection, now, scope, [model])
    values = {"scope": scope, "model": model, "per": CLOSED, "most": 0, "pause_until": now, "until": now + _FOR_GOOD}
    connection.execute(insert(learned_limits), values)


def open_route(connection: Connection, _now: datetime, scope: str, models: Iterable[str]) -> None:
    """Remove the marks of closed models, after a request was accepted again."""
    of_them = and_(learned_limits.c.scope == scope, learned_limits.c.model.in_(list(models)))
    connection.execute(delete(learned_limits).where(of_them, learned_limits.c.per == CLOSED))


def select_closed_models(connection: Connection, scope: str) -> dict[str, datetime]:
    """Return the models of a scope that are marked closed, and since when.

    The model ALL stands for every one.
    """
    statement = select(learned_limits.c.model, learned_limits.c.pause_until)
    rows = connection.execute(statement.where(learned_limits.c.scope == scope, learned_limits.c.per == CLOSED))
    return {row[0]: row[1] for row in rows}


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A limit that a 429 reply stated for a model.

    `most` requests per `per` ("minute" or "day"), trusted up to `until`.
    """

    scope: str
    model: str
    per: str
    most: int | None
    until: datetime


def learned_rows(connection: Connection, scope: str) -> list[LimitRow]:
    """Return the limits that 429 replies stated in a scope, old names of it included."""
    table, names = learned_limits.c, names_of(connection, scope)
    statement = select(table.scope, table.model, table.per, table.most, table.until).where(table.scope.in_(names))
    return [LimitRow(*row) for row in connection.execute(statement.order_by(table.model, table.per))]


def models_today(connection: Connection, scope: str, now: datetime) -> list[str]:
    """Return the models that were sent requests today (Pacific) in a scope."""
    table, names, (start, end) = attempts.c, names_of(connection, scope), pacific_day(now)
    today = and_(table.scope.in_(names), table.at >= start, table.at < end, table.outcome != DROPPED)
    return sorted(connection.execute(select(table.model).where(today).distinct()).scalars())


def forget_limits(connection: Connection, _now: datetime, scope: str, models: Iterable[str] | None) -> int:
    """Delete what was learned of these models (None: of all) in a scope.

    Returns the number of rows deleted.
    """
    statement = delete(learned_limits).where(learned_limits.c.scope.in_(names_of(connection, scope)))
    if models is not None:
        statement = statement.where(learned_limits.c.model.in_(list(models)))
    return connection.execute(statement).rowcount


__all__ = [
    "ALL",
    "LimitRow",
    "close_route",
    "forget_limits",
    "learned_rows",
    "models_today",
    "open_route",
    "select_closed_models",
]
