"""Five hundred videos at ten a day: fifty Pacific days, simulated with the real ledger on a clock set by hand."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from callsheet.errors import QuotaParked
from callsheet.ledger import JobOrder, JobResult, Ledger, QuotaLimits
from callsheet.ledger.quota import PACIFIC
from callsheet.shots import Batch
from tests.support.hand_clock import HandClock

VIDEOS, PER_DAY = 500, 10
BATCH = Batch("series", None, "live")
PRICE = Decimal("3.20")
LIMITS = QuotaLimits(rpm=2, rpd=PER_DAY)


def order(n: int) -> JobOrder:
    key = hashlib.sha256(str(n).encode()).hexdigest()
    return JobOrder(key, "video", BATCH.mode, "veo", BATCH.campaign, BATCH.name, f"s{n}", "clip-1", {"prompt": str(n)})


async def run_once(url: str, clock: HandClock, todo: list[int]) -> tuple[list[int], datetime | None]:
    """One process's run: send what fits today; what is left, and when the ledger says that it goes on."""
    left: list[int] = []
    goes_on: datetime | None = None
    async with await Ledger.open(url, clock=clock) as ledger:
        for n in todo:
            assert (await ledger.claim(order(n))).mine
            try:
                attempt = await ledger.begin(order(n).key, estimate=PRICE, scope="p", limits=LIMITS)
                await ledger.submitting(attempt)
            except QuotaParked as parked:
                left, goes_on = todo[todo.index(n) :], parked.until
                break
            await ledger.submitted(attempt, f"operations/{n}")
            result = JobResult(order(n).key, "0" * 32, 10, "video/mp4", PRICE)
            await ledger.record_result(order(n).key, result, attempt)
    return left, goes_on


@pytest.mark.long
@pytest.mark.parametrize(
    "start",
    [
        pytest.param(datetime(2026, 2, 12, 21, tzinfo=UTC), id="spring", marks=pytest.mark.slow),
        pytest.param(datetime(2026, 10, 5, 6, 55, tzinfo=UTC), id="autumn"),
    ],
)
async def test_five_hundred_videos_at_ten_a_day_take_fifty_days_with_ten_on_each(
    tmp_path: Path, start: datetime
) -> None:
    """Both spans hold a change of daylight saving; the second starts five minutes before midnight Pacific."""
    url, clock = f"sqlite:///{tmp_path / 'ledger.db'}", HandClock(start)
    async with await Ledger.open(url, clock=clock) as ledger:
        await ledger.open_batch(BATCH, [(f"s{n}", n) for n in range(VIDEOS)])
    todo = list(range(VIDEOS))
    while todo:
        todo, goes_on = await run_once(url, clock, todo)
        if goes_on is not None:
            clock.set(max(clock.now(), goes_on))
    async with await Ledger.open(url, clock=clock) as ledger:
        sent = [one.at for one in await ledger.attempts_of(BATCH.name) if one.usd]
        spend = await ledger.spend()
    first: date = start.astimezone(PACIFIC).date()
    days = [first + timedelta(days=n) for n in range(VIDEOS // PER_DAY)]
    assert Counter(at.astimezone(PACIFIC).date() for at in sent) == dict.fromkeys(days, PER_DAY)
    assert [(row.day, row.attempts, row.spent_usd) for row in spend] == [(day, 10, 10 * PRICE) for day in days]
