"""What a 429 says: which window is full, how many requests it holds, and when to come back.

Bodies as seen in production on 2026-09-02 (Gemini API, per day) and as the two platforms document them; some 429s
carry no details at all. The Gemini API sends no Retry-After header; gateways may, as seconds or as a date.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime

from callsheet.clock import real_now
from callsheet.errors import SPEND, RateLimited
from callsheet.providers.error_bodies import ErrorBody

# Longer hints than two days are not believed: the longest window, a day, turns at midnight.
MAX_RETRY_AFTER_S = 2 * 86400.0
# Twelve of these pauses outlast the ten minutes in which the Gemini API counts money.
SPEND_PAUSE_S = 120.0
# No tier has as much in ten minutes: such a number is of another unit.
MAX_SPEND_USD = 100_000
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
MAX_DURATION_CHARS = 64
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_RETRY_IN = re.compile(r"retry in ((?:\d+(?:\.\d+)?(?:ms|h|m|s))+)", re.IGNORECASE)
_DOLLARS = re.compile(r"\$ ?(\d{1,5}(?:\.\d{1,2})?)(?![\d.]*\d)")
_MONEY = re.compile(r"spen[dt]", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://\S+|ai\.studio/\S*", re.IGNORECASE)
_LIMIT = re.compile(r"\blimit:\s*(\d{1,12})(?!\.?\d)")


@dataclass(frozen=True, slots=True)
class _Quota:
    per: str
    limit: int | None


def rate_limited(body: ErrorBody, message: str, *, status: int = 429, retry_after: str | None = None) -> RateLimited:
    """The error for a 429; a full day outranks a full minute when the body names both."""
    quotas = sorted(_quotas(body), key=lambda quota: ("day", SPEND, "minute", "").index(quota.per))
    quota = quotas[0] if quotas else _Quota("", None)
    per = quota.per or window(body.message) or (SPEND if _tells_of_money(body) else "")
    hint_s = retry_after_s(body, retry_after)
    stated = quota.limit if quota.limit is not None else _stated_limit(body.message)
    return RateLimited(
        message,
        reason=body.reason,
        status=status,
        retry_after_s=SPEND_PAUSE_S if hint_s is None and per == SPEND else hint_s,
        per=per,
        limit=_cents(body.message, stated) if per == SPEND else stated,
    )


def has_limit_of_none(body: ErrorBody) -> bool:
    """Tell whether a quota in the body is 0: then no wait helps, for the model is not open to the project."""
    stated = [int(limit) for limit in _LIMIT.findall(body.message)]
    return 0 in [*stated, *(quota.limit for quota in _quotas(body))]


def retry_after_s(body: ErrorBody, header: str | None) -> float | None:
    """Give the seconds that the reply asks to wait, from its details, its message or the header Retry-After."""
    for detail in body.details:
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and (seconds := duration_s(delay)) is not None:
            return seconds
        if isinstance(delay, Mapping):
            return _bounded((_count(delay.get("seconds")) or 0) + (_count(delay.get("nanos")) or 0) / 1e9)
    if stated := _RETRY_IN.search(body.message):
        return duration_s(stated.group(1).lower())
    return _header_s(header.strip()) if header else None


def window(text: str) -> str:
    """ "day", "minute", SPEND or "": the window that a quota id, metric, unit or message names."""
    flat = text.lower().replace("_", "").replace(" ", "")
    if "perday" in flat or "1/d/" in flat:
        return "day"
    if "perminute" in flat or "1/min/" in flat:
        return "minute"
    return SPEND if _MONEY.search(_ADDRESS.sub("", text)) else ""


def duration_s(text: str) -> float | None:
    """Seconds of "9303s", "0.5s", "850.5ms" or "2h35m3.27s"; None when it is not a duration."""
    if len(text) > MAX_DURATION_CHARS:
        return None
    parts = _DURATION.findall(text.strip())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return None
    return _bounded(sum(float(number) * _UNITS_S[unit] for number, unit in parts))


def _quotas(body: ErrorBody) -> Iterator[_Quota]:
    for detail in body.details:
        violations = detail.get("violations")
        for violation in violations if isinstance(violations, list) else ():
            if isinstance(violation, Mapping):
                named = f"{violation.get('quotaId', '')} {violation.get('quotaMetric', '')}"
                yield _Quota(window(named), _count(violation.get("quotaValue")))
        metadata = detail.get("metadata")
        if isinstance(metadata, Mapping) and "quota_limit" in metadata:
            named = f"{metadata['quota_limit']} {metadata.get('quota_unit', '')}"
            yield _Quota(window(named), _count(metadata.get("quota_limit_value")))


def _tells_of_money(body: ErrorBody) -> bool:
    """Whether a detail does; links to the page where limits are raised say nothing."""
    return any(_MONEY.search(_ADDRESS.sub("", str(detail))) for detail in body.details)


def _header_s(header: str) -> float | None:
    """The seconds of a Retry-After: a number, or an HTTP date (RFC 9110, 10.2.3); a date that is past says nothing."""
    if (seconds := duration_s(f"{header}s")) is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError):
        return None
    aware: datetime = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    left_s = (aware - real_now()).total_seconds()
    return _bounded(left_s) if left_s > 0 else None


def _stated_limit(message: str) -> int | None:
    found = _LIMIT.search(message)
    return int(found.group(1)) if found else None


def _cents(message: str, stated: int | None) -> int | None:
    """The limit of money in US cents: the most dollars that the message names, else the number that is stated."""
    named = [int(Decimal(usd) * 100) for usd in _DOLLARS.findall(message)]
    if stated is not None and 0 < stated < MAX_SPEND_USD:
        named = named or [stated * 100]
    return max(named, default=0) or None


def _count(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None


def _bounded(seconds: float) -> float:
    return min(seconds, MAX_RETRY_AFTER_S) if math.isfinite(seconds) else MAX_RETRY_AFTER_S
