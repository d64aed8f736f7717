"""Whose quota is counted, what was learned of it, and how a person looks at it and lets it be forgotten."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from callsheet.errors import QuotaParked
from callsheet.ledger import Ledger, QuotaLimits
from callsheet.providers.access import access_to
from callsheet.settings import Settings, load_settings
from tests.support.cli import Cli
from tests.support.hand_clock import HandClock
from tests.support.ledger_rows import BATCH, order
from tests.support.live_runs import live, sheet
from tests.support.service import Service

NOON = datetime(2026, 11, 20, 20, tzinfo=UTC)
ROWS = "id,prompt,takes\n"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


async def send(ledger: Ledger, name: str, scope: str, limits: QuotaLimits | None = None) -> None:
    wish = order(name)
    await ledger.open_batch(BATCH, [("s1", 0)])
    await ledger.claim(wish)
    attempt = await ledger.begin(wish.key, estimate=Decimal("0.1"), scope=scope, limits=limits)
    assert attempt.not_before is None, "there was room in the minute"


async def carries_over(url: str, earlier: str, scope: str) -> bool:
    """Whether what was sent and learned today under an earlier version's name counts for the scope."""
    clock = HandClock(NOON)
    async with await Ledger.open(url, clock=clock) as old:
        await send(old, f"old {earlier} {scope}", earlier)
        await old.lower_limit(earlier, "m", "minute", 7, 0.0)
    async with await Ledger.open(url, clock=clock) as new:
        use = (await new.use_of({"m": scope}, NOON))["m"]
        assert (use.today == 1) == (use.learned.rpm == 7) == (len(use.times) == 1)
        try:
            await send(new, f"new {earlier} {scope}", scope, QuotaLimits(rpd=1))
        except QuotaParked:
            return True
    return False


@pytest.mark.long
@pytest.mark.parametrize(
    ("earlier", "scope", "counts"),
    [
        ("key-85dbe15d", "gemini_api", True),
        ("key-85dbe15d", "agent_platform", True),
        ("none", "gemini_api", True),
        ("p", "gemini_api:p", True),
        ("p", "agent_platform:p", True),
        ("key-85dbe15d", "gemini_api:p", True),
        ("p", "gemini_api:q", False),
        ("p", "gemini_api", False),
        ("key-85dbe15", "gemini_api", False),
        ("gemini_api", "agent_platform", False),
        ("rehearsal", "rehearsal:gemini_api", True),
        ("rehearsal", "gemini_api", False),
        ("key-85dbe15d", "rehearsal:gemini_api", False),
    ],
)
async def test_quota_of_an_earlier_versions_scope_counts_on(url: str, earlier: str, scope: str, counts: bool) -> None:
    assert await carries_over(url, earlier, scope) is counts


async def test_learned_limit_of_none_of_an_earlier_version_parks_nothing(url: str) -> None:
    clock = HandClock(NOON)
    async with await Ledger.open(url, clock=clock) as old:
        for per in ("minute", "day"):
            await old.lower_limit("key-85dbe15d", "m", per, 0, 9000.0)
    async with await Ledger.open(url, clock=clock) as new:
        await send(new, "cat", "gemini_api", QuotaLimits(rpm=10))
        assert (await new.use_of({"m": "gemini_api"}, NOON))["m"].today == 1


async def test_learned_limits_can_be_forgotten_by_model_and_by_scope(url: str) -> None:
    async with await Ledger.open(url, clock=HandClock(NOON)) as ledger:
        await ledger.lower_limit("none", "m", "day", 5)
        await ledger.lower_limit("gemini_api", "n", "day", 5)
        await ledger.close_route("gemini_api", "")
        assert await ledger.forget_limits("gemini_api", ["m"]) == 1
        await send(ledger, "cat", "gemini_api")
        assert [row.model for row in await ledger.learned_rows("gemini_api")] == ["", "n"]
        assert await ledger.forget_limits("gemini_api") == 2
        assert await ledger.find_closed_models("gemini_api") == {}


def settings(**given: Any) -> Settings:
    return load_settings(**given)


def test_scope_is_route_and_project_and_never_the_key() -> None:
    for key in ("secret-1", "secret-2"):
        assert access_to(settings(gemini_api_key=key), "live").scope("gemini_api") == "gemini_api"
    given = {"gemini_api_key": "k", "google_cloud_project": "p"}
    assert access_to(settings(**given), "live").scope("agent_platform") == "agent_platform:p"
    assert access_to(settings(**given, quota_project="q"), "live").scope("gemini_api") == "gemini_api:q"
    rehearsed = access_to(settings(quota_project="q"), "rehearsal", "http://127.0.0.1:1")
    assert rehearsed.scope("gemini_api") == "rehearsal:gemini_api"


def pictures(count: int, name: str = "lantern") -> str:
    return "".join(f"{name}{n},A {name} number {n},1\n" for n in range(count))


def test_rotated_key_keeps_todays_count_and_another_project_has_its_own(lean_cli: Cli, service: Service) -> None:
    (lean_cli.folder / "few.yaml").write_text("models:\n  gemini-nano-banana-2.1: {limits: {1: {rpd: 3}}}\n")
    given = {**live(service), "CALLSHEET_CATALOGUE": "few.yaml"}
    command = ("run", sheet(lean_cli, ROWS + pictures(5)), "--live", "--yes", "--json")
    first = lean_cli(*command, **given)
    assert (first.exit_code, first.json["shots"]["done"]) == (4, 3), first.stderr
    rotated = lean_cli(*command, **{**given, "GEMINI_API_KEY": "dummy-key-3"})
    assert (rotated.exit_code, rotated.json["shots"]["done"]) == (4, 3)
    (row,) = [one for one in lean_cli("quota", "--json", **given).json["quotas"] if one["today"]]
    assert (row["route"], row["today"], row["per_day"], row["source"]) == ("gemini_api", 3, 3, "catalogue")
    assert row["goes_on_at"] is not None
    other = lean_cli(*command, **given, CALLSHEET_QUOTA_PROJECT="other")
    assert (other.exit_code, other.json["shots"]["done"]) == (0, 5), other.stderr


@pytest.mark.long
def test_next_run_tries_a_closed_route_with_one_request_and_opens_it(lean_cli: Cli, service: Service) -> None:
    command = ("run", sheet(lean_cli, ROWS + pictures(20)), "--live", "--yes", "--json")
    service.script({"match": {"kind": "image"}, "fault": "429-credits"})
    assert lean_cli(*command, **live(service)).exit_code == 4
    sent = service.counts()["requests"]["generateContent"]
    told = lean_cli("plan", "sheet.csv", "--live", "--json", **live(service))
    assert told.json["forecast"]["models"][0]["closed"] is True
    assert "one request is tried first" in told.stdout + told.stderr
    again = lean_cli(*command, **live(service))
    assert (again.exit_code, again.json["shots"]["parked"]) == (4, 20)
    assert service.counts()["requests"]["generateContent"] == sent + 1
    service.script()
    mended = lean_cli(*command, **live(service))
    assert (mended.exit_code, mended.json["shots"]["done"]) == (0, 20), mended.stderr
    assert all(row["closed_since"] is None for row in lean_cli("quota", "--json", **live(service)).json["quotas"])


@pytest.mark.long
def test_quota_command_forgets_what_a_429_taught(lean_cli: Cli, service: Service) -> None:
    command = ("run", sheet(lean_cli, ROWS + pictures(2)), "--live", "--yes", "--json")
    service.script({"match": {"kind": "image"}, "fault": "429-day"})
    assert lean_cli(*command, **live(service)).exit_code == 4
    (row,) = [one for one in lean_cli("quota", "--json", **live(service)).json["quotas"] if one["today"]]
    assert (row["source"], row["goes_on_at"] is not None) == ("learned", True)
    service.script()
    assert lean_cli(*command, **live(service)).exit_code == 4, "it is still believed"
    unknown = lean_cli("quota", "--forget", "nano-bananas", **live(service))
    assert (unknown.exit_code, "Did you mean" in unknown.stderr) == (2, True)
    forgotten = lean_cli("quota", "--forget", row["model"], "--json", **live(service))
    assert json.loads(forgotten.stdout.splitlines()[-1])["forgotten"] == 1
    assert lean_cli("quota", "--forget", "all", "--json", **live(service)).json["forgotten"] == 0
    assert lean_cli(*command, **live(service)).exit_code == 0


async def test_slots_of_an_old_and_a_new_name_share_the_minute(url: str) -> None:
    clock = HandClock(NOON)
    async with await Ledger.open(url, clock=clock) as old:
        await send(old, "old", "key-85dbe15d")
    async with await Ledger.open(url, clock=clock) as new:
        await send(new, "new", "gemini_api", QuotaLimits(rpm=2))
        await new.claim(order("third"))
        third = await new.begin(
            order("third").key, estimate=Decimal("0.1"), scope="gemini_api", limits=QuotaLimits(rpm=2)
        )
        assert third.not_before is not None
        assert third.not_before > NOON + timedelta(seconds=60)
