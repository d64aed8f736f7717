"""Closed routes on record, and the removal of limits that 429 replies stated.

See callsheet/context/gates.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, delete, insert, select

from callsheet.ledger.quota import pacific_day
from callsheet.ledger.quota_usage import ALL, CLOSED
from callsheet.ledger.rows import DROPPED
from callsheet.ledger.scopes import names_of
from callsheet.ledger.tables import attempts, learned_limits

# A route stays marked until a request is taken again; the column needs an end.
_FOR_GOOD = timedelta(days=3650)


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


def forget(connection: Connection, _now: datetime, scope: str, models: Iterable[str] | None) -> int:
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
    "forget",
    "learned_rows",
    "models_today",
    "open_route",
    "select_closed_models",
]
