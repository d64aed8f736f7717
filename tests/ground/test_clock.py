"""The clock: faster on request, and never thrown by a wall clock that is set."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from callsheet import clock
from callsheet.clock import Clock, real_now

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Ticks:
    """Stands in for the `time` module: ticks that are set by hand."""

    def __init__(self, value: float) -> None:
        self.value = value

    def clock_gettime(self, _: int) -> float:
        return self.value


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    ticks = Ticks(100.0)
    monkeypatch.setattr(clock, "time", ticks)
    monkeypatch.setattr(clock, "_STARTED", NOON)
    monkeypatch.setattr(clock, "_TICK", 100.0)
    return ticks


def test_time_is_that_of_the_start_and_what_has_passed_since(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    class SetBack(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return NOON - timedelta(days=400)

    monkeypatch.setattr(clock, "datetime", SetBack)
    ticks.value += 90.0
    assert real_now() == Clock().now() == NOON + timedelta(seconds=90)


def test_clocks_of_one_factor_and_origin_agree(ticks: Ticks) -> None:
    origin = NOON - timedelta(hours=1)
    ticks.value += 2.0
    assert Clock(60, origin).now() == Clock(60, origin).now() == origin + timedelta(seconds=60 * 3602)


def test_the_real_time_is_that_of_the_wall_clock() -> None:
    assert abs(real_now() - datetime.now(UTC)) < timedelta(seconds=5)


async def test_a_sleep_lasts_as_long_as_its_clock_says(monkeypatch: pytest.MonkeyPatch, ticks: Ticks) -> None:
    slept = list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await Clock(100).sleep(5)
    await Clock().sleep(-1)
    assert slept == [pytest.approx(0.05), 0.0]


def test_a_moment_of_a_faster_clock_has_one_real_time(ticks: Ticks) -> None:
    clock = Clock(60, NOON)
    ticks.value += 10.0
    assert clock.real(clock.now()) == real_now() == NOON + timedelta(seconds=10)
    assert clock.real(NOON + timedelta(hours=1)) == NOON + timedelta(minutes=1)
    assert Clock().real(NOON) == NOON
