"""Accounts that pay for nothing more, limits of 0 and long waits: nothing is retried, the other routes go on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from callsheet import errors
from callsheet.batch.open import open_run
from callsheet.batch.pipeline import run_pipeline
from callsheet.batch.report import write_report
from callsheet.batch.request import RunRequest
from callsheet.batch.start import open_batch, set_aside
from callsheet.clock import Clock, real_now
from callsheet.context.gates import RouteGate
from callsheet.jobs.submit import gate_of
from callsheet.ledger import Ledger
from callsheet.ledger.quota import LONGEST_PAUSE, DayFull, Learned, QuotaLimits, Slot, TimeList, place
from callsheet.plan.grouping import groups
from callsheet.plan.requests import take_order
from callsheet.providers.http_errors import Phase, from_reply
from callsheet.providers.retry_policy import RetryDecision, decide_retry
from callsheet.settings import load_settings
from tests.support.cli import Cli
from tests.support.live_runs import live, sheet
from tests.support.service import Service
from tests.support.whole_batch import whole_batch

DEFAULT_429 = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


async def open_ledger(folder: Path) -> Ledger:
    return await Ledger.open(f"sqlite:///{folder / 'ledger.db'}", clock=Clock())


def body(code: int, message: str, status: str = "RESOURCE_EXHAUSTED", *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def zero(value: str = "0") -> dict[str, Any]:
    violation = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": value}
    return body(429, DEFAULT_429, "RESOURCE_EXHAUSTED", {"violations": [violation]}, {"retryDelay": "35s"})


@pytest.mark.parametrize(
    ("status", "reply", "link"),
    [
        (429, body(429, "Your prepayment credits are depleted. See https://ai.studio/projects."), "ai.studio/projects"),
        (429, body(429, "Prepaid credit balance is used up."), "ai.studio/spend"),
        (429, body(429, "Project p exceeded its monthly spending cap, see ai.studio/spend"), "ai.studio/spend"),
        (429, body(429, "You have reached your monthly spend limit."), "ai.studio/spend"),
        (402, b"", "ai.studio/spend"),
        (402, body(402, "m", "FAILED_PRECONDITION"), "ai.studio/spend"),
        (400, body(400, "Billing is disabled for project 1.", "FAILED_PRECONDITION"), "ai.studio/spend"),
        (403, body(403, "m", "PERMISSION_DENIED", {"reason": "BILLING_DISABLED"}), "ai.studio/spend"),
        (403, body(403, "This API method requires billing to be enabled.", "PERMISSION_DENIED"), "ai.studio/spend"),
        (429, zero(), "https://"),
        (429, body(429, f"{DEFAULT_429}\n* Quota exceeded for metric: x, limit: 0, model: m"), "ai.google.dev"),
        (429, body(429, "Your credits are depleted: https://evil.example/pay"), "ai.studio/spend"),
    ],
)
def test_refusal_of_an_account_closes_the_route_and_names_a_page_of_the_provider(
    status: int, reply: Any, link: str
) -> None:
    error = from_reply(status, reply, Phase.SUBMIT, what="a picture by m")
    assert isinstance(error, errors.RouteClosed), error
    assert link in error.link
    assert error.link in str(error)
    assert decide_retry("image", error, 0) is decide_retry("video", error, 0) is RetryDecision.PARK
    polled = from_reply(status, reply, Phase.POLL, what="operation o")
    assert isinstance(polled, errors.NotAccepted), "a poll is tried again: what is submitted is collected"


@pytest.mark.parametrize(
    "reply",
    [
        body(429, DEFAULT_429),
        body(429, "Resource has been exhausted (e.g. check quota)."),
        body(429, f"{DEFAULT_429} limit: 10, model: m"),
        body(429, "limit: 0.5, model: m"),
        body(429, "You exceeded your spending limit of the last 10 minutes."),
        zero("10"),
    ],
)
def test_quota_that_fills_again_by_itself_does_not_close_the_route(reply: Any) -> None:
    assert isinstance(from_reply(429, reply, Phase.SUBMIT, what="x"), errors.RateLimited)


def test_retry_after_as_a_date_is_waited_for_and_long_waits_park() -> None:
    when = real_now() + timedelta(hours=6)
    dated = from_reply(429, b"", Phase.SUBMIT, what="x", retry_after=format_datetime(when, usegmt=True))
    assert isinstance(dated, errors.RateLimited)
    assert dated.retry_after_s is not None
    assert 5.9 * 3600 < dated.retry_after_s <= 6 * 3600
    assert decide_retry("image", dated, 0) is RetryDecision.PARK
    assert decide_retry("video", errors.Overloaded("x", retry_after_s=3600), 0) is RetryDecision.PARK
    assert (
        decide_retry("video", errors.RateLimited("x", retry_after_s=LONGEST_PAUSE.total_seconds()), 0)
        is RetryDecision.RETRY
    )
    for odd in ("Fri, 31 Dec 1999 23:59:59 GMT", "tomorrow", "", "-5", "Fri, 99 Foo 2026"):
        told = from_reply(503, b"", Phase.SUBMIT, what="x", retry_after=odd)
        assert isinstance(told, errors.Overloaded)
        assert told.retry_after_s is None, odd


def test_long_pause_parks_every_process_and_a_short_one_is_a_slot() -> None:
    for minutes, expected in ((4, Slot), (360, DayFull)):
        found = place(TimeList([]), NOON, QuotaLimits(), Learned(pause_until=NOON + timedelta(minutes=minutes)))
        assert isinstance(found, expected)


async def test_gate_lets_one_request_try_a_suspect_route_and_the_others_after_it() -> None:
    gate = RouteGate("r", suspects={""})
    async with gate.turn("m"):
        assert gate.lock.locked()
        assert gate.is_opened_by("m", object())
    async with gate.turn("m"), gate.turn("n"):
        assert not gate.lock.locked()


def test_gate_closes_a_model_for_a_limit_of_none_and_the_route_for_the_account() -> None:
    gate = RouteGate("r")
    closed = errors.RouteClosed("x")
    closed.model_only = True
    gate.close_after("m", closed)
    gate.check("n")
    with pytest.raises(errors.RouteParked):
        gate.check("m")
    gate.close_after("m", errors.RouteClosed("y"))
    with pytest.raises(errors.RouteParked, match="y"):
        gate.check("n")


async def test_refusal_that_one_process_has_had_stops_the_others_before_they_send(tmp_path: Path) -> None:
    async with await open_ledger(tmp_path) as one, await open_ledger(tmp_path) as other:
        mine, theirs = RouteGate("r"), RouteGate("r")
        for gate, ledger in ((mine, one), (theirs, other)):
            gate.hear(await ledger.find_closed_models("r"))
            gate.check("m")
        mine.close_after("m", errors.RouteClosed("x"))
        await one.close_route("r", "")
        theirs.hear(await other.find_closed_models("r"))
        with pytest.raises(errors.RouteParked, match="Another process"):
            theirs.check("m")
        later = RouteGate("r")
        later.hear(await other.find_closed_models("r"))
        later.check("m")
        assert later.is_suspect("m"), "a run that begins later tries with one request"
        await other.open_route("r", ["", "m"])
        for gate in (theirs, later):
            gate.hear(await one.find_closed_models("r"))
            gate.check("m")
            assert not gate.is_suspect("m")


async def test_gate_that_found_a_mark_is_stopped_by_the_refusal_of_another_probe(tmp_path: Path) -> None:
    async with await open_ledger(tmp_path) as ledger:
        await ledger.close_route("r", "m")
        gate = RouteGate("r")
        gate.hear(await ledger.find_closed_models("r"))
        assert gate.is_suspect("m")
        await ledger.close_route("r", "m")
        gate.hear(await ledger.find_closed_models("r"))
        with pytest.raises(errors.RouteParked):
            gate.check("m")
        gate.check("n")


ROWS = "id,prompt,takes,motion_prompt,duration_s\n"
PICTURES = "".join(f"shot{n},A lantern number {n},1,,\n" for n in range(40))


@pytest.mark.long
@pytest.mark.parametrize("fault", ["429-credits", "429-cap", "402", "billing-off", "429-minute"])
@pytest.mark.quick_cases("429-credits", "429-minute")
def test_depleted_account_parks_the_pictures_retries_nothing_and_videos_go_on(
    lean_cli: Cli, service: Service, fault: str
) -> None:
    rule = {"match": {"kind": "image"}, "fault": fault, "limit": 0}
    service.script(rule)
    text = ROWS + "clip,,0,A boat drifts in,4\n" + PICTURES
    ended = lean_cli("run", sheet(lean_cli, text), "--live", "--yes", "--json", **live(service))
    assert ended.exit_code == 4, ended.stderr
    assert (ended.json["shots"]["done"], ended.json["shots"]["parked"]) == (1, 40)
    assert ended.json["parked_until"] is None
    assert service.counts()["accepted"] == {"image": 0, "video": 1}
    assert service.counts()["requests"]["generateContent"] <= 16, "nothing is sent after the first refusals"


async def test_run_that_began_before_another_was_refused_sends_nothing_after_it(
    tmp_path: Path, service: Service
) -> None:
    service.script({"match": {"kind": "image"}, "fault": "402"})
    given: dict[str, Any] = {"gemini_base_url": service.url, "gemini_api_key": "dummy", "image_concurrency": 2}
    settings = load_settings(home=tmp_path / "home", **given)
    requests = []
    for name in ("early", "late"):
        (tmp_path / f"{name}.csv").write_text(ROWS + PICTURES)
        requests.append(RunRequest(str(tmp_path / f"{name}.csv"), live=True))
    async with open_run(requests[0], settings) as (early, asked):
        plan = await open_batch(early, asked)
        going = await set_aside(early, plan)
        await gate_of(early, take_order(early.batch, asked.shots[0], 1))
        assert (await whole_batch(requests[1], settings)).exit_code == 4
        sent = service.counts()["requests"]["generateContent"]
        assert sent <= 4
        await asyncio.gather(*(run_pipeline(early, group) for group in groups(going)))
        ended = await write_report(early, 0.0)
    assert (ended.exit_code, ended.summary["shots"]["parked"]) == (4, 40)
    assert service.counts()["requests"]["generateContent"] == sent


@pytest.mark.long
def test_wait_of_hours_parks_with_its_time_and_nothing_is_slept(lean_cli: Cli, service: Service) -> None:
    service.script({"match": {"kind": "image", "first": 1}, "fault": "429-minute", "seconds": 360_000})
    ended = lean_cli("run", sheet(lean_cli, ROWS + PICTURES), "--live", "--yes", "--json", **live(service))
    assert ended.exit_code == 4, ended.stderr
    assert ended.json["shots"]["parked"] >= 1
    assert ended.json["parked_until"] is not None
