"""Waiting for operations: how often, for how long, in which order, and what trouble on the way means."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import errors
from callsheet.clock import Clock
from callsheet.concurrency import PrioritySemaphore
from callsheet.context.poller import INTERVAL_S, LOOKS_PER_S, NOT_FOUND_TIMES, Poller, Watch, deadline_s, interval_s
from callsheet.ledger.records import RETENTION
from callsheet.models import load_catalogue
from callsheet.providers.protocol import VideoReady, VideoRequest


@pytest.fixture(autouse=True)
def _soon() -> None:
    """Here the looks are those of real runs."""


READY = VideoReady(uri="https://example.test/video")
FACTOR = 400.0


@dataclass
class Operations:
    """A provider whose operations are done after so many (clock) seconds; answers are taken from `trouble` first."""

    clock: Clock
    done_after_s: float = 0.0
    trouble: list[Exception] = field(default_factory=list)
    looks: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)
    begun: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    async def submit(self, request: VideoRequest) -> str:
        raise NotImplementedError

    async def poll(self, operation: str) -> VideoReady | None:
        self.looks[operation] += 1
        self.order.append(operation)
        await asyncio.sleep(0)
        if self.trouble:
            raise self.trouble.pop(0)
        passed = (asyncio.get_running_loop().time() - self.begun) * self.clock.factor
        return READY if passed >= self.done_after_s else None

    async def download(self, video: VideoReady, target: Path) -> None:
        raise NotImplementedError


async def no_rest(_: float) -> None:
    await asyncio.sleep(0)


def watch(provider: Operations, name: str = "op", age: timedelta = timedelta(), limit_s: float = 1e9) -> Watch:
    return Watch(name, provider, datetime.now(UTC) - age, limit_s)


@given(duration_s=st.floats(1, 3600), waiting=st.integers(1, 200))
def test_looks_stay_below_one_and_a_half_times_duration_by_interval_and_two(duration_s: float, waiting: int) -> None:
    passed, looks = 0.0, 0
    while passed < duration_s:
        passed += interval_s(looks, waiting) * 0.85
        looks += 1
    assert looks <= 1.5 * duration_s / INTERVAL_S + 2


@given(looks=st.integers(0, 10_000), waiting=st.integers(1, 100_000))
def test_however_many_wait_the_provider_is_not_asked_more_often_than_its_rate(looks: int, waiting: int) -> None:
    assert interval_s(looks + 5, waiting) >= INTERVAL_S
    assert waiting / interval_s(looks, waiting) <= LOOKS_PER_S + 1e-6


async def test_hundreds_are_awaited_at_once_and_each_is_told_when_it_is_done() -> None:
    clock = Clock(FACTOR)
    provider, poller = Operations(clock, done_after_s=60), Poller(clock, clock.sleep)
    found = await asyncio.gather(*(poller.result(watch(provider, f"op-{n}")) for n in range(300)))
    assert found == [READY] * 300
    assert max(provider.looks.values()) <= 1.5 * 60 / INTERVAL_S + 2


async def test_what_expires_first_is_looked_at_first() -> None:
    provider, poller = Operations(Clock()), Poller(Clock(), no_rest)
    ages = [timedelta(hours=hours) for hours in (1, 40, 3, 47, 2, 12)] * 6
    names = [f"{age.total_seconds():.0f}-{n}" for n, age in enumerate(ages)]
    await asyncio.gather(*(poller.result(watch(provider, name, age)) for name, age in zip(names, ages, strict=True)))
    waited = provider.order[16:]  # the first sixteen found no queue
    assert [int(name.split("-")[0]) for name in waited] == sorted((int(n.split("-")[0]) for n in waited), reverse=True)


@pytest.mark.parametrize(
    "trouble",
    [
        errors.Unreachable("no connection"),
        errors.Overloaded("503"),
        errors.RateLimited("429", retry_after_s=1.0),
        errors.Rejected("400 from a gateway"),
        errors.DownloadFailed("the video inside the operation is damaged"),
        errors.OperationExpired("404 once"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_trouble_on_the_way_to_an_operation_is_survived(trouble: Exception) -> None:
    provider, poller = Operations(Clock()), Poller(Clock(), no_rest)
    provider.trouble = [trouble]
    assert await poller.result(watch(provider)) == READY


@pytest.mark.parametrize(
    "outcome",
    [
        errors.VideoFiltered("filtered"),
        errors.NoVideo("nothing"),
        errors.OperationFailed("13"),
        errors.Unauthorised("key"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_outcome_is_told_at_once(outcome: Exception) -> None:
    provider, poller = Operations(Clock()), Poller(Clock(), no_rest)
    provider.trouble = [outcome]
    with pytest.raises(type(outcome)):
        await poller.result(watch(provider))
    assert provider.looks["op"] == 1


@pytest.mark.parametrize("said", [errors.OperationExpired("404", status=404), errors.Unauthorised("403", status=403)])
async def test_an_operation_that_is_not_shown_is_expired_only_when_its_retention_is_over(said: Exception) -> None:
    provider, poller = Operations(Clock()), Poller(Clock(), no_rest)
    provider.trouble = [said] * NOT_FOUND_TIMES
    with pytest.raises(errors.OperationWithheld, match="is looked for until"):
        await poller.result(watch(provider, age=RETENTION - timedelta(minutes=1)))
    provider.trouble = [said]
    with pytest.raises(errors.OperationExpired):
        await poller.result(watch(provider, age=RETENTION + timedelta(minutes=1)))


async def test_an_operation_that_is_not_found_at_first_is_looked_for_again() -> None:
    provider, poller = Operations(Clock()), Poller(Clock(), no_rest)
    provider.trouble = [errors.OperationExpired("404")] * (NOT_FOUND_TIMES - 1)
    assert await poller.result(watch(provider)) == READY


async def test_an_operation_that_is_never_done_is_overdue_and_says_that_it_is_not_lost() -> None:
    clock = Clock(20_000.0)
    provider, poller = Operations(clock, done_after_s=1e12), Poller(clock, clock.sleep)
    with pytest.raises(errors.OperationOverdue, match="not submitted again"):
        await asyncio.wait_for(poller.result(Watch("op", provider, clock.now(), 0.2)), 20)


async def test_whoever_ends_the_waiting_ends_it_at_once() -> None:
    async def stop(_: float) -> None:
        raise errors.Stopped("stopped")

    clock = Clock()
    with pytest.raises(errors.Stopped):
        await Poller(clock, stop).result(watch(Operations(clock, done_after_s=60)))


def test_each_model_has_its_own_deadline_unless_one_is_set() -> None:
    veo = load_catalogue().get("veo-3.1-generate-001")
    assert deadline_s(veo) == 4 * veo.latency_s.max
    assert deadline_s(veo, 5.0) == 5.0


async def test_turns_go_by_rank_and_survive_cancellation() -> None:
    turns, order = PrioritySemaphore(1), []

    async def work(rank: float, gate: Callable[[], Awaitable[None]]) -> None:
        async with turns.turn(rank):
            order.append(rank)
            await gate()

    hold = asyncio.Event()
    first = asyncio.create_task(work(0, hold.wait))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    rest = [asyncio.create_task(work(rank, lambda: asyncio.sleep(0))) for rank in (5, 2, 9, 1)]
    await asyncio.sleep(0)
    rest[1].cancel()
    hold.set()
    await asyncio.gather(first, *rest, return_exceptions=True)
    assert order == [0, 1, 5, 9]
    async with turns.turn():
        pass
