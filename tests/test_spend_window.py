"""What is spent in ten minutes and in a month is kept like requests a minute, in a run and in its forecast."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.errors import QuotaParked
from callsheet.ledger import Ledger
from callsheet.ledger.quota import PACIFIC
from callsheet.ledger.spend_window import SPEND_WINDOW, SpendLimits, earliest, pacific_month
from callsheet.models import load_catalogue
from callsheet.settings import load_settings
from callsheet.steps.spend_limits import spend_limits
from tests.conftest import Cli
from tests.hand_clock import HandClock
from tests.test_ledger import BATCH, order

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


async def begun(ledger: Ledger, name: str, usd: str, spend: SpendLimits) -> datetime | None:
    wish = order(name)
    await ledger.open_batch(BATCH, [("s1", 0)])
    await ledger.claim(wish)
    attempt = await ledger.begin(wish.key, estimate=Decimal(usd), scope="gemini_api", spend=spend)
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


def test_limits_are_those_of_the_tier_on_the_gemini_api_unless_settings_say_otherwise() -> None:
    def limits(scope: str, **given: Any) -> tuple[Decimal | None, Decimal | None]:
        found = spend_limits(load_settings(**given), load_catalogue(), scope)
        return found.per_10min, found.per_month

    assert limits("gemini_api") == (10, 250)
    assert limits("gemini_api:p", tier=2) == (50, 2000)
    assert limits("gemini_api", tier=3) == (200, None)
    assert limits("gemini_api", spend_10min_usd="0", spend_month_usd="1000") == (None, 1000)
    assert limits("agent_platform:p") == limits("rehearsal:gemini_api") == (None, None)


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
