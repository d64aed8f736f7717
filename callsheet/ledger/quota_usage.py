"""Input of the quota rules: times of earlier attempts, limits of 429 replies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Delete,
    Select,
    Update,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from callsheet.errors import SPEND
from callsheet.ledger.dialect import UtcTime
from callsheet.ledger.prepared import change, fetch, fetch_all
from callsheet.ledger.quota import (
    MARGIN,
    MINUTE_MEMORY,
    WINDOW,
    Learned,
    bind_names,
    is_in,
    names_of,
    pacific_day,
    recover_limit,
)
from callsheet.ledger.rows import DROPPED, RESERVED
from callsheet.ledger.tables import attempts, learned_limits

# The word for "every model of the scope" where one model's name would stand.
ALL = ""
CLOSED = "closed"
# How long a limit of money that a 429 stated is believed.
SPEND_MEMORY = timedelta(hours=1)
_MODEL: BindParameter[str] = bindparam("of_model")


@dataclass(frozen=True, slots=True)
class _QuotaQueries:
    """The statements about a scope of so many names.

    They are built once so that they are compiled once.
    """

    nth: Select[Any]
    nth_sent: Select[Any]
    count: Select[Any]
    redate: Update
    learned: Select[Any]
    forget: Delete


@lru_cache(maxsize=32)
def _build_queries(names: int) -> _QuotaQueries:
    sent = (
        is_in(attempts.c.scope, names),
        attempts.c.model == _MODEL,
        attempts.c.outcome != DROPPED,
        # What is not waiting for its slot and lies far in the future is of another clock: of a rehearsal that ran
        # faster, say. (In live scopes there is no such thing: see `redate`.)
        or_(attempts.c.at <= bindparam("latest", type_=UtcTime), attempts.c.outcome == RESERVED),
    )
    # Older ones do not matter for the minute, and need not be read.
    recent = attempts.c.at > bindparam("since", type_=UtcTime)
    nth = select(attempts.c.at).where(*sent, recent).order_by(attempts.c.at.desc()).limit(1).offset(bindparam("skip"))
    learned_of = (is_in(learned_limits.c.scope, names), learned_limits.c.model == _MODEL)
    columns = (learned_limits.c.per, learned_limits.c.most, learned_limits.c.pause_until, learned_limits.c.until)
    return _QuotaQueries(
        nth=nth,
        nth_sent=nth.where(attempts.c.outcome != RESERVED),
        count=select(func.count())
        .select_from(attempts)
        .where(
            *sent, attempts.c.at >= bindparam("start", type_=UtcTime), attempts.c.at < bindparam("end", type_=UtcTime)
        ),
        redate=update(attempts).where(
            is_in(attempts.c.scope, names),
            attempts.c.model == _MODEL,
            attempts.c.outcome != RESERVED,
            attempts.c.outcome != DROPPED,
            attempts.c.at > bindparam("ahead", type_=UtcTime),
        ),
        learned=select(*columns).where(*learned_of, learned_limits.c.per != CLOSED),
        forget=delete(learned_limits).where(*learned_of, learned_limits.c.per == bindparam("of_per")),
    )


_LEARN = insert(learned_limits)


@dataclass(frozen=True, slots=True)
class AttemptTimes:
    """The times on record for a scope and model.

    `waiting`: slots that are reserved, not used yet, count for the minute.
    """

    connection: Connection
    scope: str
    model: str
    now: datetime
    waiting: bool = True

    def nth_latest(self, n: int) -> datetime | None:
        """Return the n-th latest time of the last window and later.

        None when there are fewer.
        """
        names, where = self._bind_scope()
        queries = _build_queries(names)
        statement = queries.nth if self.waiting else queries.nth_sent
        row = fetch(self.connection, statement, {**where, "since": self.now - WINDOW - MARGIN, "skip": n - 1})
        return row[0] if row else None

    def count(self, start: datetime, end: datetime) -> int:
        """Count the attempts that were sent or have a slot in [start, end)."""
        names, where = self._bind_scope()
        row = fetch(self.connection, _build_queries(names).count, {**where, "start": start, "end": end})
        return row[0] if row else 0

    def _bind_scope(self) -> tuple[int, dict[str, object]]:
        names = names_of(self.connection, self.scope)
        return len(names), {**bind_names(names), "of_model": self.model, "latest": self.now + WINDOW}


def learned(connection: Connection, scope: str, model: str, now: datetime) -> Learned:
    """Return what is still trusted of earlier 429 replies.

    Limits of 0, as earlier versions learned them, are not.
    """
    names = names_of(connection, scope)
    found = fetch_all(connection, _build_queries(len(names)).learned, {**bind_names(names), "of_model": model})
    believed = [row for row in found if row[1] != 0]
    minutes = [row for row in believed if row[0] == "minute"]
    rpms = [rpm for _, most, _, until in minutes if most is not None and (rpm := recover_limit(most, until, now))]
    return Learned(
        rpm=min(rpms, default=None),
        pause_until=max((pause for _, _, pause, _ in minutes if pause), default=None),
        day_until=max((until for per, _, _, until in believed if per == "day"), default=None),
    )


def learned_spend(connection: Connection, scope: str, now: datetime) -> tuple[Decimal | None, datetime | None]:
    """Return the trusted limits of a scope's money that 429 replies stated.

    USD in ten minutes, and until when to wait.
    """
    names = names_of(connection, scope)
    found = fetch_all(connection, _build_queries(len(names)).learned, {**bind_names(names), "of_model": ALL})
    believed = [(most, pause) for per, most, pause, until in found if per == SPEND and until > now]
    usd = min((Decimal(most) / 100 for most, _ in believed if most), default=None)
    return usd, max((pause for _, pause in believed if pause and pause > now), default=None)


def redate(connection: Connection, scope: str, model: str, now: datetime) -> None:
    """Date attempts sent with a clock that ran far ahead as sent now.

    That clock has been set back since. What lies less than a window ahead is left: clocks of two machines may differ by
    that, and it counts as it is.
    """
    names = names_of(connection, scope)
    values = {**bind_names(names), "of_model": model, "ahead": now + WINDOW, "at": now}
    change(connection, _build_queries(len(names)).redate, values)


@dataclass(frozen=True, slots=True)
class LimitReply:
    """A 429 reply: the limit that it states, and when to try again.

    `limit` per "minute", "day" or SPEND; None: not stated.
    """

    per: str
    limit: int | None = None
    retry_after_s: float | None = None


def lower_limit(connection: Connection, now: datetime, scope: str, model: str, reply: LimitReply) -> datetime:
    """Record a 429; returns when requests may be sent again.

    Per day: the day is used up, whatever the number (others may share the quota): until midnight Pacific.
    Per minute: the limit is lowered for five minutes and then grows back step by step (`quota.recovered`); nothing is
    sent before the provider's hint, or for a minute when it gave neither hint nor number. Money of ten minutes: the
    same, for an hour.
    """
    per, limit = reply.per, reply.limit
    if per == "day":
        until = resume = pacific_day(now)[1]
    else:
        wait_s = reply.retry_after_s if reply.retry_after_s is not None else (60.0 if limit is None else 0.0)
        resume = now + timedelta(seconds=wait_s)
        until = max(resume, now + (SPEND_MEMORY if per == SPEND else MINUTE_MEMORY))
    names = names_of(connection, scope)
    change(connection, _build_queries(len(names)).forget, {**bind_names(names), "of_model": model, "of_per": per})
    values = {"scope": scope, "model": model, "per": per, "most": limit, "pause_until": resume, "until": until}
    connection.execute(_LEARN, values)
    return resume
