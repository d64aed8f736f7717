"""`callsheet status`: money by campaign, model and Pacific day, and what is parked, under way and in doubt."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from callsheet.errors import BudgetParked, QuotaParked
from callsheet.ledger import JobState, Ledger, QuotaLimits
from callsheet.shots import Batch
from tests.support.cli import Cli
from tests.support.hand_clock import HandClock
from tests.support.ledger_rows import PRICE, digest, order, result

LIVE = Batch("spring", None, "live")
# The evening of 20 November in California is the 21st in UTC.
EVENING = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)


async def fill(url: str) -> None:
    """Two requests on either side of midnight Pacific, one in doubt, one under way, two parked."""
    clock = HandClock(EVENING)
    async with await Ledger.open(url, clock=clock) as ledger:
        await ledger.open_batch(LIVE, [("s1", 0)])
        terms = {"estimate": PRICE, "scope": "p"}
        wishes = {name: order(name, batch=LIVE, kind="video", slot=f"clip-{name}") for name in "abcdef"}
        for wish in wishes.values():
            await ledger.claim(wish)
        first = await ledger.begin(wishes["a"].key, **terms)  # type: ignore[arg-type]
        await ledger.record_result(first.key, result(), first)
        with pytest.raises(QuotaParked):
            await ledger.begin(wishes["e"].key, limits=QuotaLimits(rpd=1), **terms)  # type: ignore[arg-type]
        clock.set(EVENING + timedelta(hours=1))
        lost = await ledger.begin(wishes["b"].key, **terms)  # type: ignore[arg-type]
        await ledger.settle(lost, JobState.UNKNOWN, kind="Unknown", reason="No reply.")
        sent = await ledger.begin(wishes["c"].key, **terms)  # type: ignore[arg-type]
        await ledger.submitted(sent, "operations/1")
        with pytest.raises(BudgetParked):
            await ledger.begin(wishes["f"].key, budget=Decimal("0.11"), **terms)  # type: ignore[arg-type]


def test_status_tells_money_by_pacific_day_and_all_that_waits(bare_cli: Cli) -> None:
    asyncio.run(fill(f"sqlite:///{bare_cli.home / 'ledger.db'}"))
    done = bare_cli("status", "--json")
    assert done.exit_code == 0, done.stderr
    price = float(PRICE)
    assert [(row["day"], row["model"], row["attempts"], row["usd"]) for row in done.json["spend"]] == [
        ("2026-11-20", "m", 1, {"estimated": price, "reserved": 0, "spent": price}),
        ("2026-11-21", "m", 2, {"estimated": 2 * price, "reserved": 2 * price, "spent": 0}),
    ]
    (batch,) = done.json["batches"]
    assert (batch["under_way"], batch["unresolved"], batch["parked"]) == (2, 1, 2)
    assert {job["until"] for job in done.json["parked"]} == {"2026-11-21T08:00:00+00:00", None}
    made, under_way = sorted(done.json["under_way"], key=lambda job: str(job["state"]))
    assert (made["key"], made["state"]) == (digest("a"), "finished")  # paid for, not in the archive yet
    assert (under_way["key"], under_way["operation"]) == (digest("c"), "operations/1")
    submitted = EVENING + timedelta(hours=1)
    assert abs(under_way["age_s"] - (datetime.now(UTC) - submitted).total_seconds()) < 30
    for words in ("1 parked until 2026-11-21T08:00", "until the budget is raised", "callsheet resolve", "2026-11-20"):
        assert words in done.stderr
    assert bare_cli("status", LIVE.name, "--json").json["spend"] == done.json["spend"]


async def test_days_of_a_campaign_turn_at_midnight_in_california_in_summer_and_winter(tmp_path: Path) -> None:
    """7:30 UTC is 23:30 of the day before in winter, and 0:30 of the same day in summer."""
    clock = HandClock(EVENING)
    async with await Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock) as ledger:
        await ledger.open_batch(LIVE, [("s1", 0)])
        for name, month in (("winter", 3), ("summer", 7)):
            clock.set(datetime(2026, month, 1, 7, 30, tzinfo=UTC))
            await ledger.claim(order(name, batch=LIVE))
            await ledger.begin(digest(name), estimate=PRICE, scope="p")
        assert [row.day for row in await ledger.spend()] == [date(2026, 2, 28), date(2026, 7, 1)]


def test_a_rehearsal_has_spent_nothing_in_the_tables(lean_cli: Cli) -> None:
    (lean_cli.folder / "sheet.csv").write_text("id,prompt\ncup,A cup\n")
    assert lean_cli("run", "sheet.csv").exit_code == 0
    told = lean_cli("status").stdout
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in told.splitlines() if "rehearsal" in line]
    assert [row[-3:-1] for row in rows] == [["0.00", "0"], ["0.0000", "0"]]
    assert all(float(row[-1]) > 0 for row in rows)
