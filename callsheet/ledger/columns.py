"""Column types that are the same on every database: money in micro-USD, time in microseconds since 1970 (UTC), and
numbers that servers, sheets and archives tell: PostgreSQL refuses a row for one that its column cannot hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from sqlalchemy import BigInteger, Integer
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MICROS_PER_USD = 1_000_000


class MicroUsd(TypeDecorator[Decimal]):
    """A Decimal in USD, kept as a whole number of millionths, so sums are exact."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        """USD to millionths, rounded half up."""
        if value is None:
            return None
        return int((value * _MICROS_PER_USD).to_integral_value(ROUND_HALF_UP))

    def process_result_value(self, value: int | Decimal | None, dialect: Dialect) -> Decimal | None:
        """Millionths to USD (PostgreSQL sums arrive as Decimal)."""
        return None if value is None else Decimal(value).scaleb(-6)


class ToldInt(TypeDecorator[int]):
    """A number that somebody told us, as near as 32 bits come to it."""

    impl = Integer
    cache_ok = True
    _most = 2**31 - 1

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        """Bound the number."""
        return None if value is None else max(-self._most, min(value, self._most))


class ToldBigInt(ToldInt):
    """The same in 64 bits."""

    impl = BigInteger
    cache_ok = True
    _most = 2**63 - 1


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, kept as microseconds since 1970: sortable and exact."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Aware datetime to microseconds; a naive one raises TypeError."""
        return None if value is None else (value - EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Microseconds to a datetime in UTC."""
        return None if value is None else EPOCH + timedelta(microseconds=value)
