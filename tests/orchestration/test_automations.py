"""The automations on a real Prefect server: what crashes goes on, and people are told through a real webhook.

The long form, with workers that are killed, is in `tests/e2e/test_zombies.py` (`make slow`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.events import Event, RelatedResource, Resource
from prefect.events.clients import PrefectEventsClient
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Crashed, Failed, Paused, Pending, Running, Scheduled
from pydantic import SecretStr
from ruamel.yaml import YAML

from callsheet.orchestration.automations import (
    HEARTBEAT_S,
    MOST_STARTS,
    PREFIX,
    WATCHED,
    SilenceLimits,
    automations,
    ensure_automations,
    remove_automations,
)
from callsheet.orchestration.own_packages import DEPLOYMENTS, shipped
from callsheet.orchestration.work_pools import PoolType, template_of
from tests.support.receiver import Receiver, receiving

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.timeout(300)]

# The least that Prefect takes.
SHORT = SilenceLimits(timedelta(seconds=10), timedelta(seconds=10), timedelta(seconds=10))


class Watched:
    """A deployment with one slot, on a server with the automations, and the chat that they tell."""

    def __init__(self, client: PrefectClient, chat: Receiver, flow: UUID, deployment: UUID) -> None:
        self.client, self.chat, self._flow, self.deployment = client, chat, flow, deployment

    async def run(self, name: str, *states: State[Any]) -> UUID:
        """A run of the deployment that has been through these states."""
        made = await self.client.create_flow_run_from_deployment(self.deployment, name=name)
        for state in states:
            await self.client.set_flow_run_state(made.id, state, force=True)
        return made.id

    async def beat(self, run: UUID) -> None:
        """A heartbeat, as Prefect's flow engine sends it."""
        related = [("flow", self._flow, "content-batch"), ("deployment", self.deployment, "")]
        event = Event(
            event="prefect.flow-run.heartbeat",
            resource=Resource({"prefect.resource.id": f"prefect.flow-run.{run}"}),
            related=[
                RelatedResource(
                    {
                        "prefect.resource.id": f"prefect.{role}.{one}",
                        "prefect.resource.role": role,
                        "prefect.resource.name": name,
                    }
                )
                for role, one, name in related
            ],
        )
        async with PrefectEventsClient(f"{self.client.api_url}".rstrip("/")) as events:
            await events.emit(event)

    async def state(self, run: UUID) -> str:
        state = (await self.client.read_flow_run(run)).state
        return f"{state.type.value} {state.name}" if state else ""


@pytest.fixture
async def watched(prefect_url: str) -> AsyncIterator[Watched]:
    with receiving() as chat, temporary_settings({PREFECT_API_URL: prefect_url}):
        await ensure_automations(SecretStr(chat.url), SHORT)
        async with get_client() as client:
            flow = await client.create_flow_from_name("content-batch")
            deployment = await client.create_deployment(flow, f"watched-{uuid4().hex[:6]}", concurrency_limit=1)
            yield Watched(client, chat, flow, deployment)
            await client.delete_deployment(deployment)
        await remove_automations()


async def comes_true(condition: Callable[[], Any], within_s: float = 30) -> None:
    """Wait until a condition holds; it may have to be awaited."""
    give_up = time.monotonic() + within_s
    while True:
        found = condition()
        if await found if asyncio.iscoroutine(found) else found:
            return
        assert time.monotonic() < give_up, "it did not come to pass"
        await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_what_is_silent_or_crashed_goes_on_and_people_are_told(watched: Watched) -> None:
    zombie = await watched.run("zombie", Pending(), Running())
    await watched.beat(zombie)
    late = await watched.run("late", Scheduled(name="Late", scheduled_time=datetime.now(UTC)))
    await asyncio.gather(said_in_words(watched), goes_on_five_times(watched))
    await comes_true(lambda: watched.chat.told("zombie crashed", "no sign of life"))
    await comes_true(lambda: is_in(watched, zombie, "SCHEDULED AwaitingRetry"))
    await comes_true(lambda: watched.chat.told("should have begun", "Is a worker"))
    assert await watched.state(late) == "SCHEDULED Late"


async def said_in_words(watched: Watched) -> None:
    """Every state that needs a person is told, with the run's own message and a link; a good end is not."""
    await watched.run("good", Running(), Completed(message="3 of 3 shots done"))
    ends = {
        "failed": Failed(message='No "archive"'),
        "partly": Completed(name="Partly done", message="1 of 2 shots done; 1 blocked"),
        "asks": Paused(message="2 shots wait"),
        "parked": Paused(name="Suspended", message="1 of 2 shots done; 1 parked; goes on by itself at 08:00"),
    }
    for name, end in ends.items():
        await watched.run(f"spring-{name}", Running(), end)
    for name, end in ends.items():
        await comes_true(lambda name=name, end=end: watched.chat.told(f"spring-{name}", end.message, "/runs/flow-run/"))
    assert not watched.chat.told("good")


async def goes_on_five_times(watched: Watched) -> None:
    """A crashed run is scheduled again under its own id, and given up after five starts."""
    run = await watched.run("unlucky")
    for _ in range(MOST_STARTS - 1):
        await watched.client.set_flow_run_state(run, Running(), force=True)
        await watched.client.set_flow_run_state(run, Crashed(message="Killed."), force=True)
        await comes_true(lambda: is_in(watched, run, "SCHEDULED AwaitingRetry"))
    await watched.client.set_flow_run_state(run, Running(), force=True)
    await watched.client.set_flow_run_state(run, Crashed(message="Killed."), force=True)
    await comes_true(lambda: watched.chat.told("unlucky", f"{MOST_STARTS} times and is not started again"))
    assert len(watched.chat.told("unlucky", "goes on by itself")) == MOST_STARTS - 1
    assert await watched.state(run) == "CRASHED Crashed"


@pytest.mark.long
async def test_what_crashed_is_scheduled_again_as_the_same_run_and_people_are_told(watched: Watched) -> None:
    run = await watched.run("spring", Pending(), Running(), Crashed(message="Killed."))
    await comes_true(lambda: is_in(watched, run, "SCHEDULED AwaitingRetry"))
    await comes_true(lambda: watched.chat.told("spring crashed", "Killed.", "goes on by itself"))
    await watched.run("asks", Running(), Paused(message="2 shots wait"))
    await comes_true(lambda: watched.chat.told("asks waits for you", "2 shots wait", "/runs/flow-run/"))
    assert await watched.state(run) == "SCHEDULED AwaitingRetry", "the same run, not another one"
    assert len(watched.chat.told("spring crashed")) == 1


async def is_in(watched: Watched, run: UUID, state: str) -> bool:
    return await watched.state(run) == state


async def test_the_slot_of_a_zombie_is_free_for_the_next_run_which_is_not_cancelled(watched: Watched) -> None:
    zombie = await watched.client.create_flow_run_from_deployment(watched.deployment, name="holder")
    for state in (Pending(), Running()):
        await watched.client.set_flow_run_state(zombie.id, state)
    following = await watched.client.create_flow_run_from_deployment(watched.deployment, name="following")
    await watched.client.set_flow_run_state(following.id, Pending())
    assert await watched.state(following.id) == "SCHEDULED AwaitingConcurrencySlot"
    await watched.client.set_flow_run_state(zombie.id, Crashed(message="Gone."))
    await comes_true(lambda: is_in(watched, zombie.id, "SCHEDULED AwaitingRetry"))
    await watched.client.set_flow_run_state(following.id, Pending())
    assert await watched.state(following.id) == "PENDING Pending"


async def test_automations_are_made_once_and_what_a_person_switched_off_stays_off(watched: Watched) -> None:
    there = {one.name: one for one in await ours(watched)}
    off = there[f"{PREFIX}tell of parked batches"]
    await watched.client.pause_automation(off.id)
    names = await ensure_automations(SecretStr(watched.chat.url), SHORT)
    again = {one.name: one for one in await ours(watched)}
    assert {name: one.id for name, one in again.items()} == {name: one.id for name, one in there.items()}
    assert sorted(names) == sorted(again)
    assert [name for name, one in again.items() if not one.enabled] == [off.name]


async def test_without_an_address_nobody_is_told_and_what_crashed_goes_on_all_the_same(watched: Watched) -> None:
    names = await ensure_automations(None, SHORT)
    assert sorted(one.name for one in await ours(watched)) == sorted(names)
    assert not [name for name in names if "tell of" in name]
    assert f"{PREFIX}crashed runs go on" in names


async def ours(watched: Watched) -> list[Any]:
    return [one for one in await watched.client.read_automations() if one.name.startswith(PREFIX)]


def test_a_run_may_miss_two_heartbeats_and_no_other_flows_are_touched() -> None:
    for one in automations(SilenceLimits(), uuid4()):
        flows, deployments = one.trigger.match_related
        assert set(flows["prefect.resource.name"]) == set(WATCHED)
        assert deployments["prefect.resource.role"] == ["deployment"]
    assert SilenceLimits().silent >= timedelta(seconds=2 * HEARTBEAT_S)


def test_every_deployed_flow_is_watched_and_every_pool_has_it_send_heartbeats() -> None:
    deployed = YAML(typ="safe").load(shipped(DEPLOYMENTS).joinpath("prefect.yaml").read_text())["deployments"]
    entrypoints = {tuple(one["entrypoint"].rsplit(".", 1)) for one in deployed}
    names = {getattr(import_module(module), function).name for module, function in entrypoints}
    assert names - {"content-shard"} == set(WATCHED)
    for pool in get_args(PoolType):
        environment = template_of(pool)["variables"]["properties"]["env"]["default"]
        assert environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == str(HEARTBEAT_S)
