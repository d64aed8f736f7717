"""What is spent in ten minutes and in a month is kept like requests a minute, in a run and in its forecast."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert

from callsheet.clock import Clock, real_now
from callsheet.errors import SPEND, QuotaParked, RateLimited
from callsheet.jobs.charges import spend_limits
from callsheet.ledger import Ledger, model_usage
from callsheet.ledger.quota import MARGIN, PACIFIC
from callsheet.ledger.spend_window import SPEND_WINDOW, SpendLimits, earliest, pacific_month
from callsheet.ledger.tables import attempts
from callsheet.models import load_catalogue
from callsheet.providers.http_errors import Phase, from_reply
from callsheet.settings import load_settings
from tests.support.cli import Cli
from tests.support.hand_clock import HandClock
from tests.support.ledger_rows import BATCH, order
from tests.support.live_runs import live
from tests.support.service import Service

NOON = datetime(2026, 11, 20, 20, tzinfo=UTC)
TEN = SpendLimits(per_10min=Decimal(10))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 900), st.integers(1, 400)), max_size=60))
def test_no_ten_minutes_hold_more_money_than_the_limit(asked: list[tuple[int, int]]) -> None:
    sent: list[tuple[datetime, Decimal]] = []
    now, limit = NOON, Decimal("4.00")
    for gap_s, cents in asked:
        now = max(now + timedelta(seconds=gap_s), sent[-1][0] if sent else now)
        usd = Decimal(cents) / 100
        sent.append((earliest(reversed(sent), now, usd, limit), usd))
    for moment, _ in sent:
        assert sum(usd for at, usd in sent if moment <= at < moment + SPEND_WINDOW) <= limit


def test_months_are_those_of_the_pacific_calendar() -> None:
    start, end = pacific_month(datetime(2026, 12, 31, 20, tzinfo=UTC))
    assert (start, end) == (datetime(2026, 12, 1, 8, tzinfo=UTC), datetime(2027, 1, 1, 8, tzinfo=UTC))
    assert pacific_month(end)[0] == end
    assert pacific_month(datetime(2026, 11, 1, 20, tzinfo=UTC))[0].astimezone(PACIFIC).hour == 0


async def begun(ledger: Ledger, name: str, usd: str, spend: SpendLimits, scope: str = "gemini_api") -> datetime | None:
    wish = order(name)
    await ledger.open_batch(BATCH, [("s1", 0)])
    await ledger.claim(wish)
    attempt = await ledger.begin(wish.key, estimate=Decimal(usd), scope=scope, spend=spend)
    return attempt.not_before


async def test_request_waits_until_the_ten_minutes_have_room_for_its_money(tmp_path: Path) -> None:
    clock = HandClock(NOON)
    async with await Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock) as ledger:
        assert await begun(ledger, "a", "6.00", TEN) is None
        assert await begun(ledger, "b", "4.00", TEN) is None
        later = await begun(ledger, "c", "0.01", TEN)
        assert later is not None
        assert later > NOON + SPEND_WINDOW
        refused = await ledger.attempts_of(BATCH.name)
        assert len(refused) == 3
        month = SpendLimits(per_month=Decimal(10))
        with pytest.raises(QuotaParked) as parked:
            await begun(ledger, "d", "0.01", month)
        assert parked.value.until == datetime(2026, 12, 1, 8, tzinfo=UTC)


async def fill(ledger: Ledger, sent: list[tuple[datetime, str]], scope: str = "gemini_api") -> None:
    """Put attempts on record as if they had been sent then and paid."""
    await ledger.open_batch(BATCH, [("s1", 0)])
    wish = order(f"many {scope}")
    await ledger.claim(wish)
    row = {
        "job_key": wish.key, "batch": BATCH.name, "scope": scope, "model": "m", "kind": "image", "outcome": "stored",
        "detail": "", "estimated_usd": Decimal(0), "reserved_usd": Decimal(0),
    }  # fmt: skip
    rows = [{**row, "n": n, "at": at, "usd": Decimal(usd)} for n, (at, usd) in enumerate(sent, start=1000)]
    await ledger._db.write(lambda connection: connection.execute(insert(attempts), rows).rowcount)


async def test_database_finds_the_moment_that_the_arithmetic_finds(tmp_path: Path) -> None:
    """Of money spread over a quarter of an hour, free requests and equal moments among it; each case in its scope."""
    chance, spend = Random(7), SpendLimits(per_10min=Decimal(5))
    async with await Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=HandClock(NOON)) as ledger:
        for n in range(40):
            sent = [
                (NOON - timedelta(seconds=chance.randrange(900)), Decimal(chance.randrange(400)) / 100)
                for _ in range(chance.randrange(1, 20))
            ]
            usd, scope = Decimal(chance.randrange(1, 600)) / 100, f"gemini_api:p{n}"
            await fill(ledger, [(at, str(one)) for at, one in sent], scope)
            recent = [(at, one) for at, one in sorted(sent, reverse=True) if one and at > NOON - SPEND_WINDOW - MARGIN]
            expected = earliest(recent, NOON, usd, Decimal(5))
            assert await begun(ledger, f"next {n}", str(usd), spend, scope) == (expected if expected > NOON else None)


@pytest.mark.long
async def test_request_costs_as_little_after_fifty_thousand_as_after_five(tmp_path: Path) -> None:
    """Counted are the rows that come back and the statements that are sent, at a tenth of what a month may hold."""
    month = SpendLimits(per_10min=Decimal(50), per_month=Decimal(2000))
    work: dict[int, tuple[int, int]] = {}
    for size in (5, 50_000):
        clock = HandClock(NOON)
        async with await Ledger.open(f"sqlite:///{tmp_path / f'{size}.db'}", clock=clock) as ledger:
            await fill(ledger, [(NOON - timedelta(seconds=20 * n), "0.03") for n in range(size)])
            await begun(ledger, "warm", "0.03", month)
            work[size] = await counted(ledger, lambda: begun(ledger, "next", "0.03", month))
            with pytest.raises(QuotaParked):
                await begun(ledger, "last", "1999.99", month)
    assert work[50_000] == work[5]
    assert work[5][0] < 40


async def counted(ledger: Ledger, work: Callable[[], Awaitable[object]]) -> tuple[int, int]:
    """How many rows come back and how many statements are run while this is done."""
    rows: list[object] = []
    statements: list[str] = []

    def watch(connection: Connection, on: bool) -> None:
        raw: Any = connection.connection.dbapi_connection
        raw.row_factory = (lambda _, row: rows.append(row) or row) if on else None
        raw.set_trace_callback(statements.append if on else None)

    await ledger._db.write(lambda connection: watch(connection, True))
    await work()
    await ledger._db.write(lambda connection: watch(connection, False))
    return len(rows), len(statements)


@pytest.mark.parametrize("names", [1, 3])
async def test_money_is_added_up_over_the_index_alone(tmp_path: Path, names: int) -> None:
    def plans(connection: Connection) -> list[str]:
        found = []
        for statement in (
            model_usage._build_queries(names, True).total,
            model_usage._build_queries(names, True).crowded,
        ):
            compiled = statement.compile(dialect=connection.dialect)
            values = [0] * len(compiled.positiontup or ())
            told = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", tuple(values))
            found.append(" ".join(row[3] for row in told))
        return found

    async with await Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=HandClock(NOON)) as ledger:
        for plan in await ledger._db.read(plans):
            assert "USING COVERING INDEX attempts_spent (scope=? AND at>?)" in plan


@pytest.mark.parametrize(
    ("message", "quota", "per", "cents"),
    [
        ("You exceeded your spending limit of the last 10 minutes.", None, "spend", None),
        ("You spent more than $7.50 in 10 minutes.", None, "spend", 750),
        ("Quota exceeded.", {"quotaId": "SpendPer10MinutesPerProject", "quotaValue": "4"}, "spend", 400),
        ("Quota exceeded.", {"quotaId": "SpendPer10MinutesPerProject", "quotaValue": "10000000"}, "spend", None),
        ("Resource exhausted. See https://ai.studio/spend or ai.studio/spend.", None, "", None),
        ("Quota exceeded.", {"quotaId": "GenerateRequestsPerMinutePerProject", "quotaValue": "4"}, "minute", 4),
        ("Spend less.", {"quotaId": "GenerateRequestsPerDayPerProject", "quotaValue": "4"}, "day", 4),
    ],
)
def test_429_of_money_is_told_from_one_of_requests(
    message: str, quota: dict[str, str] | None, per: str, cents: int | None
) -> None:
    details = [{"violations": [quota]}] if quota else []
    error = {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}
    told = from_reply(429, json.dumps({"error": error}).encode(), Phase.SUBMIT, what="x")
    assert isinstance(told, RateLimited)
    assert (told.per, told.limit) == (per, cents)


async def test_429_of_money_holds_for_all_models_in_every_process_until_it_is_forgotten(tmp_path: Path) -> None:
    url, clock = f"sqlite:///{tmp_path / 'ledger.db'}", HandClock(NOON)
    async with await Ledger.open(url, clock=clock) as one, await Ledger.open(url, clock=clock) as two:
        await fill(one, [(NOON, "3.00")])
        assert await one.lower_limit("gemini_api", "", SPEND, 400, 120.0) == NOON + timedelta(minutes=2)
        assert await begun(two, "short", "0.50", SpendLimits()) == NOON + timedelta(minutes=2)
        crowded = await begun(two, "long", "1.00", TEN)
        assert crowded is not None
        assert crowded >= NOON + SPEND_WINDOW
        assert await one.learned_spend("gemini_api", NOON) == (4, NOON + timedelta(minutes=2))
        assert await one.learned_spend("gemini_api:other", NOON) == (None, None)
        await one.lower_limit("gemini_api", "", SPEND, None, 3600.0)
        with pytest.raises(QuotaParked):
            await begun(two, "parked", "0.10", SpendLimits())
        assert await two.forget_limits("gemini_api") == 1
        assert await begun(one, "free", "0.10", SpendLimits()) is None


def test_quota_command_shows_what_is_spent_and_the_limit_that_a_429_taught(lean_cli: Cli, service: Service) -> None:
    home = {**live(service), "GOOGLE_CLOUD_PROJECT": ""}
    (row,) = lean_cli("quota", "--json", **home).json["spend"]
    assert (row["last_10min_usd"], row["per_10min_usd"], row["per_month_usd"], row["source"]) == (
        0, 10, 250, "tier or settings",
    )  # fmt: skip

    async def learn() -> None:
        async with await Ledger.open(
            load_settings(home=lean_cli.folder / ".callsheet").ledger_url, clock=Clock()
        ) as it:
            await fill(it, [(real_now() - timedelta(minutes=1), "1.25")], row["route"])
            await it.lower_limit(row["route"], "", SPEND, 400, 120.0)

    asyncio.run(learn())
    told = lean_cli("quota", "--json", **home)
    (row,) = told.json["spend"]
    assert (row["last_10min_usd"], row["per_10min_usd"], row["this_month_usd"], row["source"]) == (
        1.25, 4, 1.25, "learned",
    )  # fmt: skip
    assert "$1.25 of $4.00 in the last 10 minutes (learned)" in " ".join((told.stdout + told.stderr).split())
    (row,) = lean_cli("quota", "--forget", "all", "--json", **home).json["spend"]
    assert (row["per_10min_usd"], row["goes_on_at"]) == (10, None)


def test_limits_are_those_of_the_tier_on_the_gemini_api_unless_settings_say_otherwise() -> None:
    def limits(scope: str, **given: Any) -> tuple[Decimal | None, Decimal | None]:
        found = spend_limits(load_settings(**given), load_catalogue(), scope)
        return found.per_10min, found.per_month

    assert limits("gemini_api") == (10, 250)
    assert limits("gemini_api:p", tier=2) == (50, 2000)
    assert limits("gemini_api", tier=3) == (200, None)
    assert limits("gemini_api", spend_10min_usd="0", spend_month_usd="1000") == (None, 1000)
    assert limits("agent_platform:p") == limits("rehearsal:gemini_api") == (None, None)


@pytest.mark.long
def test_plan_of_a_thousand_pictures_tells_the_longer_time_and_why(bare_cli: Cli) -> None:
    rows = "".join(f"s{n},A lamp number {n}\n" for n in range(1000))
    (bare_cli.folder / "many.csv").write_text("id,prompt\n" + rows)
    told = bare_cli("plan", "many.csv", "--live", "--json", GEMINI_API_KEY="dummy")
    assert told.exit_code == 0, told.stderr
    assert told.json["forecast"]["spend"] == {"per_10min": 10.0, "per_month": 250.0}
    assert 30 * 60 < told.json["forecast"]["seconds"] < 60 * 60
    assert "$10 in any 10 minutes" in told.stdout + told.stderr
    free = bare_cli("plan", "many.csv", "--live", "--json", GEMINI_API_KEY="dummy", CALLSHEET_SPEND_10MIN_USD="0")
    assert free.json["forecast"]["seconds"] < 30 * 60
