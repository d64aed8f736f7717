"""The forecast: what fits quota and budget, when a batch is done, and that the run then takes as long as was told."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.ledger.model_usage import Use
from callsheet.ledger.quota import PACIFIC, Learned, QuotaLimits
from callsheet.ledger.spend_window import Position
from callsheet.models import Latency
from callsheet.plan import Conditions, Known, Money, Plan, plan_batch
from callsheet.plan.event_loop import Process, Room, Simulation
from callsheet.plan.inputs import ModelConditions, WorkSeconds
from callsheet.plan.requests import take_estimate
from callsheet.shots import Shot
from tests.support.cli import Cli
from tests.support.counted_calls import assert_grows_with_its_input
from tests.support.plans import BATCH, CATALOGUE, SHOT
from tests.support.service import start_service

NOW = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)  # 10:00 Pacific
VIDEO = SHOT.video_model or ""
# Neither latency nor work of ours: only quotas take time.
AT_ONCE, NO_WORK = Latency(0.0, 0.0, 0.0), WorkSeconds(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def conditions(limits: QuotaLimits, use: Use | None = None, latency: Latency = AT_ONCE, **more: object) -> Conditions:
    models = {
        SHOT.image_model: ModelConditions(QuotaLimits(), latency, Use()),
        VIDEO: ModelConditions(limits, latency, use or Use()),
    }
    return dataclasses.replace(Conditions(NOW, 1, models, effort=NO_WORK, look_s=0.0), **more)  # type: ignore[arg-type]


def clips(count: int) -> list[Shot]:
    """Shots that are videos of text alone."""
    return [dataclasses.replace(SHOT, id=f"s{n}", takes=0, cuts=(), motion_prompt=f"Wave {n}") for n in range(count)]


def planned(shots: list[Shot], given: Conditions) -> Plan:
    return plan_batch(BATCH, shots, Known(), CATALOGUE, given)


def test_what_does_not_fit_the_day_is_parked_until_its_day() -> None:
    plan = planned(clips(37), conditions(QuotaLimits(rpm=2, rpd=10)))
    assert plan.counts("video") == {"create": 10, "parked": 27}
    days = Counter(a.until.astimezone(PACIFIC).date().isoformat() for p in plan.shots for a in p.actions if a.until)
    assert days == {"2026-11-22": 10, "2026-11-23": 10, "2026-11-24": 7}
    assert plan.usd == plan.usd_high == 37 * CATALOGUE.get(VIDEO).video_price("720p", 8), "parked work is paid later"
    assert plan.forecast is not None
    assert plan.forecast.done_at.astimezone(PACIFIC).strftime("%m-%d %H:%M") == "11-24 00:03"
    first = plan.forecast.sentences()[0]
    assert first == f"37 clips of {VIDEO} at tier 1 (2 a minute, 10 a day): done on 24 Nov 00:03 Pacific."


def test_earlier_requests_and_what_a_429_said_count() -> None:
    used = Use(times=(NOW - timedelta(seconds=20), NOW - timedelta(seconds=10)), today=8)
    plan = planned(clips(4), conditions(QuotaLimits(rpm=2, rpd=10), used))
    assert plan.counts("video") == {"create": 2, "parked": 2}
    full = Use(learned=Learned(day_until=NOW + timedelta(hours=3)))
    assert planned(clips(1), conditions(QuotaLimits(), full)).counts("video") == {"parked": 1}


def test_500_videos_at_10_a_day_take_50_days_also_when_the_clocks_change() -> None:
    october = dataclasses.replace(conditions(QuotaLimits(rpm=2, rpd=10)), now=datetime(2026, 10, 20, 18, 0, tzinfo=UTC))
    plan = planned(clips(500), october)
    days = Counter(a.until.astimezone(PACIFIC).date() for p in plan.shots for a in p.actions if a.until)
    assert len(days) == 49
    assert set(days.values()) == {10}


@settings(max_examples=30)
@given(st.integers(1, 80), st.integers(1, 20), st.integers(1, 9))
def test_a_limit_per_minute_is_what_time_takes(count: int, rpm: int, waits_s: int) -> None:
    forecast = planned(
        clips(count), conditions(QuotaLimits(rpm=rpm), latency=Latency(waits_s, waits_s, waits_s))
    ).forecast
    assert forecast is not None
    windows = (count - 1) // rpm
    assert forecast.seconds == pytest.approx(60 * windows + waits_s, rel=0.02)


def test_the_budget_is_for_pictures_first_and_then_for_clips() -> None:
    shots = [dataclasses.replace(SHOT, id=f"s{n}", takes=1, prompt=str(n), cuts=("1x1",)) for n in range(3)]
    picture = take_estimate(CATALOGUE.get(SHOT.image_model), shots[0])
    video = CATALOGUE.get(VIDEO).video_price("720p", 8)
    money = Money(Decimal(5) + 3 * picture + 2 * video, Position(spent=Decimal(4), reserved=Decimal(1)))
    plan = planned(shots, conditions(QuotaLimits(), money=money))
    assert plan.counts("image") == {"create": 3}
    assert plan.counts("video") == {"create": 2, "parked": 1}
    assert plan.counts("cut") == {"create": 2, "parked": 1}
    assert plan.usd == 3 * picture + 2 * video, "what the budget does not allow is not spent"
    assert plan.usd_high == plan.usd + 3 * picture, "a picture in doubt is paid for twice"
    assert plan.money is not None
    assert (plan.money.parked, plan.money.parked_usd) == (1, video)
    none = planned(shots, conditions(QuotaLimits(), money=Money(Decimal(0))))
    assert (none.counts("image"), none.counts("video")) == ({"parked": 3}, {"parked": 3})
    assert none.usd == 0


@pytest.mark.long
def test_the_work_of_a_forecast_grows_with_the_batch() -> None:
    def foreseeing(size: int) -> Callable[[], object]:
        shots = [dataclasses.replace(SHOT, id=str(n), prompt=str(n), takes=1) for n in range(size)]
        plain = plan_batch(BATCH, shots, Known(), CATALOGUE)
        plan = planned(shots, conditions(QuotaLimits(rpm=50), latency=Latency(11, 60, 360)))
        assert plan.forecast is not None
        assert plain.usd == plan.usd
        return lambda: planned(shots, conditions(QuotaLimits(rpm=50), latency=Latency(11, 60, 360)))

    assert_grows_with_its_input(foreseeing, 500)


def test_places_in_a_simulation_are_given_in_the_order_of_coming() -> None:
    simulation, seen = Simulation(), []

    def visit(name: str, room: Room) -> Process:
        yield room
        yield 1.0
        seen.append((name, simulation.now))
        room.leave()

    def all_of_them() -> Process:
        room = Room(simulation, 2)
        yield [visit(name, room) for name in "abcde"]
        seen.append(("end", simulation.now))

    simulation.start(all_of_them())
    assert simulation.run() == 3.0
    assert seen == [("a", 1.0), ("b", 1.0), ("c", 2.0), ("d", 2.0), ("e", 3.0), ("end", 3.0)]


CLIPS = 10
ONE_A_MINUTE = f"models:\n  {VIDEO}:\n    limits: {{any: {{rpm: 1}}}}\n"


@pytest.mark.slow  # compares times: a busy machine takes longer
def test_a_rehearsal_takes_as_long_as_its_plan_said(cli: Cli, tmp_path: Path) -> None:
    rows = "".join(f"s{n},A boat,0,It sails past buoy {n},4\n" for n in range(CLIPS))
    (cli.folder / "sheet.csv").write_text("id,prompt,takes,motion_prompt,duration_s\n" + rows)
    (cli.folder / "slow.yaml").write_text(ONE_A_MINUTE)
    service = start_service(tmp_path / "service", factor=60, latency={"video": 30})
    try:
        here = {"GOOGLE_GEMINI_BASE_URL": service.url, "CALLSHEET_CATALOGUE": "slow.yaml"}
        told = cli("plan", "sheet.csv", "--json", **here)
        assert told.exit_code == 0, told.stderr
        done = cli("run", "sheet.csv", "--json", **here)
        assert done.exit_code == 0, done.stderr
    finally:
        service.process.terminate()
        service.process.wait(timeout=20)
    forecast, outcome = told.json["forecast"]["seconds"], clock_seconds(cli.home / "ledger.db")
    assert abs(forecast - outcome) < 0.1 * outcome, (forecast, outcome)
    assert told.json["forecast"]["models"][0]["per_minute"] == 1


def clock_seconds(ledger: Path) -> float:
    """From the opening of the batch to its last clip, in seconds of the service's clock."""
    with sqlite3.connect(ledger) as database:
        opened, ended = database.execute("SELECT min(b.created), max(j.finished_at) FROM batches b, jobs j").fetchone()
    return float(ended - opened) / 1e6
