"""Quota as arithmetic: when the next request may be sent, given earlier ones.

Requests per minute count in a sliding window of 60 s, requests per day in the calendar day of America/Los_Angeles
(ai.google.dev/gemini-api/docs/rate-limits, read 2026-11-21: "RPD quotas reset at midnight Pacific time").
`zoneinfo` reads the system's time zone data; slim images without it need the `tzdata` package.

A scope, "gemini_api:my-project" say, names whose quota a request counts against. Until 2026-11 it was the project, else
`key-` and eight digits of the key's hash, else "none", on all platforms alike. What was counted or learned under such a
name today counts on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import Column, ColumnElement, Connection, bindparam, or_, select

from callsheet.ledger.tables import attempts, learned_limits

WINDOW = timedelta(seconds=60)
# The provider counts when a request arrives, we when it is sent: two that leave 60 s apart may arrive a little closer.
# A slot lies this much later than the window asks; what is lost is 1 of 61 s, 1.6 % of the minute's requests.
MARGIN = timedelta(seconds=1)
# How long a lower limit that a 429 stated is believed, and how it then grows back: by a quarter of it every minute,
# until it meets the configured limit or is forgotten. Quotas are raised and shared out anew without notice.
MINUTE_MEMORY = timedelta(minutes=5)
# A pause that the provider asks for is waited for inside a run up to this; a longer one parks what is to be sent.
LONGEST_PAUSE = timedelta(minutes=5)
_STEP = timedelta(minutes=1)
_FORGOTTEN = timedelta(hours=1)
PACIFIC = ZoneInfo("America/Los_Angeles")
_PLATFORMS = ("gemini_api", "agent_platform")
_REHEARSAL = "rehearsal"
# One underscore, LIKE's wildcard, for each digit of the hash.
_OF_A_KEY = "key-________"


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """Requests per minute and per day for one model in one project.

    None is unlimited.
    """

    rpm: int | None = None
    rpd: int | None = None


class RequestLimits(Protocol):
    """Anything that states requests per minute and per day; None is unlimited."""

    @property
    def rpm(self) -> int | None: ...  # noqa: D102
    @property
    def rpd(self) -> int | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Learned:
    """The limits that 429 replies stated.

    A lower `rpm`, no slot before `pause_until`, the day is full until `day_until`.
    """

    rpm: int | None = None
    pause_until: datetime | None = None
    day_until: datetime | None = None

    def parks_until(self, now: datetime) -> datetime | None:
        """Return until when nothing is sent; None when a short pause at most is due."""
        day = self.day_until if self.day_until and self.day_until > now else None
        pause = self.pause_until if self.pause_until and self.pause_until - now > LONGEST_PAUSE else None
        return max((until for until in (day, pause) if until), default=None)


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the quota: the request may be sent at `not_before` or later.

    In clock time.
    """

    not_before: datetime


@dataclass(frozen=True, slots=True)
class DayFull:
    """A refusal by the quota; more may be sent from `until`.

    Today's requests are used up, or the provider asked for a long pause.
    """

    until: datetime


class Times(Protocol):
    """The times of requests that count against the quota."""

    def nth_latest(self, n: int) -> datetime | None:
        """Return the n-th latest time (1 is the latest), None when there are fewer.

        Those older than WINDOW and MARGIN may be left out.
        """
        ...

    def count(self, start: datetime, end: datetime) -> int:
        """Count the times in [start, end)."""
        ...


@dataclass(frozen=True, slots=True)
class TimeList:
    """Times in memory, in any order."""

    times: Sequence[datetime]

    def nth_latest(self, n: int) -> datetime | None:
        """Return the n-th latest time, None when there are fewer."""
        return sorted(self.times, reverse=True)[n - 1] if n <= len(self.times) else None

    def count(self, start: datetime, end: datetime) -> int:
        """Count the times in [start, end)."""
        return sum(start <= time < end for time in self.times)


def pacific_day(moment: datetime) -> tuple[datetime, datetime]:
    """Return start and end (UTC) of the Pacific calendar day of `moment`.

    They are 23, 24 or 25 hours apart.
    """
    return _compute_day(moment.astimezone(PACIFIC).date())


@lru_cache(maxsize=64)
def _compute_day(day: date) -> tuple[datetime, datetime]:
    start, end = (
        datetime(each.year, each.month, each.day, tzinfo=PACIFIC).astimezone(UTC)
        for each in (day, day + timedelta(days=1))
    )
    return start, end


def tightened(limits: QuotaLimits, learned: Learned) -> QuotaLimits:
    """Return the stricter of the given and the learned limits."""
    known = [rpm for rpm in (limits.rpm, learned.rpm) if rpm is not None]
    return QuotaLimits(rpm=min(known) if known else None, rpd=limits.rpd)


def recover_limit(most: int, until: datetime, now: datetime) -> int | None:
    """Return what a lower limit per minute has grown to by now.

    It was trusted in full up to `until`; None when it is forgotten.
    """
    if now < until:
        return most
    if now - until >= _FORGOTTEN:
        return None
    return most + max(1, most // 4) * ((now - until) // _STEP + 1)


def place(times: Times, now: datetime, limits: QuotaLimits, learned: Learned | None = None) -> Slot | DayFull:
    """Find the earliest slot behind all `times`.

    DayFull when its Pacific day has no request left. A request sent at the slot makes no 60 s window contain more than
    `rpm` requests: the rpm-th latest before it is at least 60 s and MARGIN old by then. A limit of 0 lets nothing pass:
    the day counts as full.
    """
    learned = learned or Learned()
    limits = tightened(limits, learned)
    if (until := learned.parks_until(now)) is not None:
        return DayFull(until)
    at = max(now, learned.pause_until or now)
    if limits.rpm is not None:
        if limits.rpm < 1:
            return DayFull(pacific_day(now)[1])
        before = times.nth_latest(limits.rpm)
        at = max(at, before + WINDOW + MARGIN) if before else at
    start, end = pacific_day(at)
    if limits.rpd is not None and times.count(start, end) >= limits.rpd:
        return DayFull(end)
    return Slot(at)


def names_of(connection: Connection, scope: str) -> tuple[str, ...]:
    """Return the scope and its names of earlier versions that count for it.

    Read once per connection: none is added.
    """
    known: dict[str, tuple[str, ...]] = connection.info.setdefault("quota scopes", {})
    if scope not in known:
        known[scope] = (scope, *_find_earlier_names(connection, scope))
    return known[scope]


def is_in(column: Column[str], names: int) -> ColumnElement[bool]:
    """Build the condition that the column has one of so many names.

    They are given as `scope_0` and so on.
    """
    return or_(*(column == bindparam(f"scope_{n}") for n in range(names)))


def bind_names(names: tuple[str, ...]) -> dict[str, object]:
    """Build the values for `is_in`."""
    return {f"scope_{n}": name for n, name in enumerate(names)}


def _find_earlier_names(connection: Connection, scope: str) -> list[str]:
    platform, _, project = scope.partition(":")
    if platform == _REHEARSAL:
        return [_REHEARSAL] if project else []
    if platform not in _PLATFORMS:
        return []
    found: set[str] = set()
    for table in (attempts, learned_limits):
        # Whose project a key is of was not known then: it counts for whichever is named now.
        earlier = or_(table.c.scope.in_([name for name in ("none", project) if name]), table.c.scope.like(_OF_A_KEY))
        found.update(connection.execute(select(table.c.scope).where(earlier).distinct()).scalars())
    return sorted(found)
