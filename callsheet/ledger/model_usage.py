"""Used quota per model, with which a forecast of the next requests begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, or_, select

from callsheet.ledger.closed import ALL, select_closed_models
from callsheet.ledger.quota import WINDOW, Learned, pacific_day
from callsheet.ledger.quota_usage import AttemptTimes, learned
from callsheet.ledger.rows import DROPPED, RESERVED
from callsheet.ledger.scopes import names_of
from callsheet.ledger.tables import attempts


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
