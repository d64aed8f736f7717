"""The options of `find`: each is read, or refused with what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation

from rapidfuzz import process

from callsheet.errors import SettingsError

_LONGEST_NAME = 300
_NEAR = 60


def names(option: str, given: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names given with an option that can be repeated."""
    for name in given or ():
        if not name.strip() or len(name) > _LONGEST_NAME:
            raise SettingsError(f"{option} needs a name of 1 to {_LONGEST_NAME} characters, not {name[:40]!r}.")
    return tuple(given or ())


def one_of(option: str, given: str, allowed: Sequence[str]) -> str:
    """One of the words allowed, in any case."""
    if (word := given.casefold()) in allowed:
        return word
    near = nearest(word, allowed)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise SettingsError(f"{option} is one of {', '.join(allowed)}, not {given[:40]!r}.{hint}")


def nearest(word: str, known: Sequence[str]) -> list[str]:
    """Up to three known words that come near, the nearest first."""
    folded = {one: one.casefold() for one in known}
    return [str(one) for *_, one in process.extract(word.casefold(), folded, limit=3, score_cutoff=_NEAR)]


def period(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """First moment and first moment that is too late."""
    first = _moment("--since", since) if since is not None else None
    after = _moment("--until", until, after=True) if until is not None else None
    if first and after and first >= after:
        raise SettingsError(f"--since {since} is after --until {until}: nothing can lie between them.")
    return first, after


def costs(low: str | None, high: str | None) -> tuple[Decimal | None, Decimal | None]:
    """Least and most, in USD."""
    least = _usd("--min-usd", low) if low is not None else None
    most = _usd("--max-usd", high) if high is not None else None
    if least is not None and most is not None and least > most:
        raise SettingsError(f"--min-usd {low} is more than --max-usd {high}: nothing can cost both.")
    return least, most


def _moment(option: str, given: str, *, after: bool = False) -> datetime:
    """Return the first moment of a day, or a moment itself.

    `after`: the first one that comes later. UTC without an offset.
    """
    try:
        if len(given) <= len("2026-11-01"):
            return datetime.combine(date.fromisoformat(given), time(), UTC) + timedelta(days=after)
        moment = datetime.fromisoformat(given)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return moment + timedelta(microseconds=after)
    except (ValueError, OverflowError):
        raise SettingsError(
            f"{option} needs a day such as 2026-11-01, or a time such as 2026-11-01T09:30, not {given[:40]!r}."
        ) from None


def _usd(option: str, given: str) -> Decimal:
    try:
        usd = Decimal(given)
    except InvalidOperation:
        usd = Decimal(-1)
    if not usd.is_finite() or usd < 0:
        raise SettingsError(f"{option} needs an amount in USD such as 0.5 or 12, not {given[:40]!r}.")
    return usd
