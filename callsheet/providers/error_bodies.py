"""Read the body of an error reply, in whatever form it comes.

That is Google's JSON, a JSON array of it, the HTML of a front end, or nothing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime

from callsheet.clock import real_now
from callsheet.errors import SPEND, RateLimited
from callsheet.providers.error_codes import name_code

MAX_MESSAGE_CHARS = 500
_CODE = re.compile(r"(script|style)\b", re.IGNORECASE)
# Texts of refusals for policy, collected from public reports of Veo and Imagen until 2026-11.
_POLICY = re.compile(
    r"support codes?:\s*\d|responsible ai|usage guidelines|sensitive words|safety (filter|reason|polic)"
    r"|violat\w{0,12}[^.]{0,80}(polic|guideline|practice)|blocked[^.]{0,40}(safety|policy)",
    re.IGNORECASE,
)
_SUPPORT_CODES = re.compile(r"support codes?:\s*(\d+(?:\s*,\s*\d+)*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """An error reply that was read.

    `genuine` separates Google's own JSON from whatever a proxy or gateway may have sent.
    """

    message: str = ""
    status: str = ""
    details: tuple[Mapping[str, object], ...] = field(default=())
    genuine: bool = False

    @property
    def reason(self) -> str:
        """Return the most specific code: ErrorInfo's reason, else the status."""
        reasons = (str(detail["reason"]) for detail in self.details if isinstance(detail.get("reason"), str))
        return next(reasons, self.status)

    @property
    def against_policy(self) -> bool:
        """Return whether the message is a refusal for safety or policy."""
        return speaks_of_policy(self.message)


def read_error(body: object) -> ErrorBody:
    """Read an error reply of any form; never raises."""
    if isinstance(body, bytes):
        body = body[: 1 << 20].decode("utf-8", "replace")
    if isinstance(body, str):
        body = _read_json_or_text(body)
    if isinstance(body, list):
        body = body[0] if body else ""
    if not isinstance(body, Mapping):
        return ErrorBody(message=plain(str(body or "")))
    error = body.get("error")
    genuine = isinstance(error, Mapping)
    inner = error if isinstance(error, Mapping) else body
    details = inner.get("details")
    return ErrorBody(
        message=plain(str(inner.get("message") or (error if isinstance(error, str) else ""))),
        status=str(inner.get("status") or "")[:100] or _read_word(inner.get("code")),
        details=tuple(d for d in details if isinstance(d, Mapping)) if isinstance(details, list) else (),
        genuine=genuine,
    )


def _read_word(code: object) -> str:
    """Return the status that a code means which is a word, "" for a number."""
    return name_code(code) if isinstance(code, str) and not code.isdigit() else ""


def speaks_of_policy(message: str) -> bool:
    """Return whether a message says that safety or policy forbids the request."""
    return bool(_POLICY.search(message))


def support_codes(message: str) -> str:
    """Return the support codes in a refusal ("17301594,56562880"), or ""."""
    found = (code.strip() for match in _SUPPORT_CODES.finditer(message) for code in match.group(1).split(","))
    return ",".join(dict.fromkeys(found))


def plain(text: str, limit: int = MAX_MESSAGE_CHARS) -> str:
    """Return untrusted text as one bounded line, without tags or control characters."""
    flat = without_tags(text[: 40 * limit])
    flat = " ".join("".join(c if c.isprintable() else " " for c in flat).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def without_tags(text: str) -> str:
    """Return the text of HTML, with each tag replaced by a space.

    A script or style is replaced as a whole. No character is looked at twice.
    """
    return "".join(_split_pieces(text))


def _split_pieces(text: str) -> Iterator[str]:
    at, ends = 0, _Ends(text)
    while (start := text.find("<", at)) >= 0 and (end := text.find(">", start)) >= 0:
        yield text[at:start]
        yield " "
        code = _CODE.match(text, start + 1, end)
        at = (ends.after(code.group().lower(), end) if code else 0) or end + 1
    yield text[at:]


class _Ends:
    """The ends of scripts and styles; what was not found once is not searched again."""

    def __init__(self, text: str) -> None:
        self._folded = text.lower() if text.isascii() else "".join(c.lower() if c.isascii() else c for c in text)
        self._none: set[str] = set()

    def after(self, name: str, start: int) -> int:
        """Return the place behind the closing tag that follows `start`, 0 for none."""
        closing = f"</{name}>"
        found = -1 if name in self._none else self._folded.find(closing, start)
        if found < 0:
            self._none.add(name)
            return 0
        return found + len(closing)


def _read_json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


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
    """Return the error for a 429.

    A full day outranks a full minute when the body names both.
    """
    quotas = sorted(_find_quotas(body), key=lambda quota: ("day", SPEND, "minute", "").index(quota.per))
    quota = quotas[0] if quotas else _Quota("", None)
    per = quota.per or window(body.message) or (SPEND if _tells_of_money(body) else "")
    hint_s = retry_after_s(body, retry_after)
    stated = quota.limit if quota.limit is not None else _find_limit(body.message)
    return RateLimited(
        message,
        reason=body.reason,
        status=status,
        retry_after_s=SPEND_PAUSE_S if hint_s is None and per == SPEND else hint_s,
        per=per,
        limit=_read_cents(body.message, stated) if per == SPEND else stated,
    )


def has_limit_of_none(body: ErrorBody) -> bool:
    """Return whether a quota in the body is 0.

    Then no wait helps: the model is not open to the project.
    """
    stated = [int(limit) for limit in _LIMIT.findall(body.message)]
    return 0 in [*stated, *(quota.limit for quota in _find_quotas(body))]


def retry_after_s(body: ErrorBody, header: str | None) -> float | None:
    """Return the seconds that the reply asks to wait, None when it does not.

    They stand in its details, its message or the header Retry-After.
    """
    for detail in body.details:
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and (seconds := duration_s(delay)) is not None:
            return seconds
        if isinstance(delay, Mapping):
            return _limit_wait((_read_count(delay.get("seconds")) or 0) + (_read_count(delay.get("nanos")) or 0) / 1e9)
    if stated := _RETRY_IN.search(body.message):
        return duration_s(stated.group(1).lower())
    return _read_header_s(header.strip()) if header else None


def window(text: str) -> str:
    """Return the quota window that an id, metric, unit or message names.

    "day", "minute", SPEND, or "" for none.
    """
    flat = text.lower().replace("_", "").replace(" ", "")
    if "perday" in flat or "1/d/" in flat:
        return "day"
    if "perminute" in flat or "1/min/" in flat:
        return "minute"
    return SPEND if _MONEY.search(_ADDRESS.sub("", text)) else ""


def duration_s(text: str) -> float | None:
    """Return the seconds of "9303s", "0.5s", "850.5ms" or "2h35m3.27s".

    None when the text is not a duration.
    """
    if len(text) > MAX_DURATION_CHARS:
        return None
    parts = _DURATION.findall(text.strip())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return None
    return _limit_wait(sum(float(number) * _UNITS_S[unit] for number, unit in parts))


def _find_quotas(body: ErrorBody) -> Iterator[_Quota]:
    for detail in body.details:
        violations = detail.get("violations")
        for violation in violations if isinstance(violations, list) else ():
            if isinstance(violation, Mapping):
                named = f"{violation.get('quotaId', '')} {violation.get('quotaMetric', '')}"
                yield _Quota(window(named), _read_count(violation.get("quotaValue")))
        metadata = detail.get("metadata")
        if isinstance(metadata, Mapping) and "quota_limit" in metadata:
            named = f"{metadata['quota_limit']} {metadata.get('quota_unit', '')}"
            yield _Quota(window(named), _read_count(metadata.get("quota_limit_value")))


def _tells_of_money(body: ErrorBody) -> bool:
    """Return whether a detail speaks of money.

    Links to the page where limits are raised do not count.
    """
    return any(_MONEY.search(_ADDRESS.sub("", str(detail))) for detail in body.details)


def _read_header_s(header: str) -> float | None:
    """Return the seconds of a Retry-After, None when it says nothing.

    It is a number, or an HTTP date (RFC 9110, 10.2.3); a date in the past says nothing.
    """
    if (seconds := duration_s(f"{header}s")) is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError):
        return None
    aware: datetime = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    left_s = (aware - real_now()).total_seconds()
    return _limit_wait(left_s) if left_s > 0 else None


def _find_limit(message: str) -> int | None:
    found = _LIMIT.search(message)
    return int(found.group(1)) if found else None


def _read_cents(message: str, stated: int | None) -> int | None:
    """Return the limit of money in US cents, None when there is none.

    The largest dollar amount that the message names, else the number that is stated.
    """
    named = [int(Decimal(usd) * 100) for usd in _DOLLARS.findall(message)]
    if stated is not None and 0 < stated < MAX_SPEND_USD:
        named = named or [stated * 100]
    return max(named, default=0) or None


def _read_count(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None


def _limit_wait(seconds: float) -> float:
    return min(seconds, MAX_RETRY_AFTER_S) if math.isfinite(seconds) else MAX_RETRY_AFTER_S
