"""Quotas as pure functions: a sliding minute, and a day.

The day turns at midnight Pacific.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from callsheet.rehearsal.config import Quota

# Requests per day reset at midnight Pacific: ai.google.dev/gemini-api/docs/rate-limits, read 2026-11-21.
PACIFIC = ZoneInfo("America/Los_Angeles")
MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Exceeded:
    """Which quota is used up, its value, and the seconds until a request passes."""

    per: Literal["minute", "day"]
    limit: int
    retry_s: float


def day_start(now: datetime) -> datetime:
    """Return the midnight Pacific that began the quota day of `now`, in UTC."""
    return now.astimezone(PACIFIC).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)


def day_end(now: datetime) -> datetime:
    """Return the midnight Pacific that ends the quota day of `now`, in UTC.

    A day of summer time's change is 23 or 25 h.
    """
    # Noon first: a day later is then the next date even when the clocks change.
    noon = now.astimezone(PACIFIC).replace(hour=12, minute=0, second=0, microsecond=0)
    return day_start(noon + timedelta(days=1))


def exceeded(quota: Quota, now: datetime, minute: Sequence[float], today: int) -> Exceeded | None:
    """Return what refuses one more request, None when it may go.

    The day comes before the minute. `minute` holds the times (seconds since 1970, ascending) of the requests of the
    last minute.
    """
    if quota.rpd is not None and today >= quota.rpd:
        return Exceeded("day", quota.rpd, (day_end(now) - now).total_seconds())
    if quota.rpm is not None and len(minute) >= quota.rpm:
        # With room for none there is no request whose leaving would help.
        leaving = minute[-quota.rpm] if quota.rpm else now.timestamp()
        return Exceeded("minute", quota.rpm, max(1.0, leaving + MINUTE_S - now.timestamp()))
    return None
