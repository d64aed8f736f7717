"""What the quota rules need from the tables: the times of earlier attempts, and what 429 replies said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from callsheet.ledger.columns import UtcTime
from callsheet.ledger.prepared import change, fetch, fetch_all
from callsheet.ledger.quota import MARGIN, MINUTE_MEMORY, WINDOW, Learned, pacific_day, recovered
from callsheet.ledger.rows import DROPPED, RESERVED
from callsheet.ledger.tables import attempts, learned_limits

_SENT = (
    attempts.c.scope == bindparam("in_scope"),
    attempts.c.model == bindparam("of_model"),
    attempts.c.outcome != DROPPED,
    # What is not waiting for its slot and lies far in the future is of another clock: of a rehearsal that ran faster,
    # say. (In live scopes there is no such thing: see `redate`.)
    or_(attempts.c.at <= bindparam("latest", type_=UtcTime), attempts.c.outcome == RESERVED),
)
# Older ones do not matter for the minute, and need not be read.
_RECENT = attempts.c.at > bindparam("since", type_=UtcTime)
_NTH = select(attempts.c.at).where(*_SENT, _RECENT).order_by(attempts.c.at.desc()).limit(1).offset(bindparam("skip"))
_NTH_SENT = _NTH.where(attempts.c.outcome != RESERVED)
_COUNT = (
    select(func.count())
    .select_from(attempts)
    .where(*_SENT, attempts.c.at >= bindparam("start", type_=UtcTime), attempts.c.at < bindparam("end", type_=UtcTime))
)
_REDATE = update(attempts).where(
    attempts.c.scope == bindparam("in_scope"),
    attempts.c.model == bindparam("of_model"),
    attempts.c.outcome != RESERVED,
    attempts.c.outcome != DROPPED,
    attempts.c.at > bindparam("ahead", type_=UtcTime),
)
_ONE = (learned_limits.c.scope == bindparam("in_scope"), learned_limits.c.model == bindparam("of_model"))
_LEARNED = select(
    learned_limits.c.per, learned_limits.c.most, learned_limits.c.pause_until, learned_limits.c.until
).where(*_ONE)
_FORGET = delete(learned_limits).where(*_ONE, learned_limits.c.per == bindparam("of_per"))
_LEARN = insert(learned_limits)


@dataclass(frozen=True, slots=True)
class AttemptTimes:
    """The times on record for a scope and model. `waiting`: slots that are held, not used yet, count for the minute."""

    connection: Connection
    scope: str
    model: str
    now: datetime
    waiting: bool = True

    def nth_latest(self, n: int) -> datetime | None:
        """The n-th latest time of the last window and later, None when there are fewer."""
        statement = _NTH if self.waiting else _NTH_SENT
        row = fetch(self.connection, statement, {**self._where(), "since": self.now - WINDOW - MARGIN, "skip": n - 1})
        return row[0] if row else None

    def count(self, start: datetime, end: datetime) -> int:
        """How many were sent or hold a slot in [start, end)."""
        row = fetch(self.connection, _COUNT, {**self._where(), "start": start, "end": end})
        return row[0] if row else 0

    def _where(self) -> dict[str, object]:
        return {"in_scope": self.scope, "of_model": self.model, "latest": self.now + WINDOW}


def learned(connection: Connection, scope: str, model: str, now: datetime) -> Learned:
    """What is still believed of earlier 429 replies."""
    rpm, pause_until, day_until = None, None, None
    for per, most, pause, until in fetch_all(connection, _LEARNED, {"in_scope": scope, "of_model": model}):
        if per == "day":
            day_until = until
        else:
            rpm, pause_until = None if most is None else recovered(most, until, now), pause
    return Learned(rpm, pause_until, day_until)


def redate(connection: Connection, scope: str, model: str, now: datetime) -> None:
    """Let what was sent with a clock that ran far ahead count as sent now: that clock has been set back since.

    What lies less than a window ahead is left: clocks of two machines may differ by that, and it counts as it is.
    """
    change(connection, _REDATE, {"in_scope": scope, "of_model": model, "ahead": now + WINDOW, "at": now})


def lower_limit(
    connection: Connection,
    now: datetime,
    scope: str,
    model: str,
    per: Literal["minute", "day"],
    limit: int | None,
    retry_after_s: float | None,
) -> datetime:
    """Record a 429; returns when requests may be sent again.

    Per day: the day is used up, whatever the number (others may share the quota): until midnight Pacific.
    Per minute: the limit is lowered for five minutes and then grows back step by step (`quota.recovered`); nothing is
    sent before the provider's hint, or for a minute when it gave neither hint nor number.
    """
    if per == "day":
        until = resume = pacific_day(now)[1]
    else:
        wait_s = retry_after_s if retry_after_s is not None else (60.0 if limit is None else 0.0)
        resume = now + timedelta(seconds=wait_s)
        until = max(resume, now + MINUTE_MEMORY)
    connection.execute(_FORGET, {"in_scope": scope, "of_model": model, "of_per": per})
    values = {"scope": scope, "model": model, "per": per, "most": limit, "pause_until": resume, "until": until}
    connection.execute(_LEARN, values)
    return resume
