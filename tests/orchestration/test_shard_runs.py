"""A batch in shards on a work pool: through real workers, and with the test in the workers' place."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect import flow, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled

from benchmarks.cluster import Api, deploy_to, end, start_worker
from callsheet.batch.open import open_run
from callsheet.batch.request import RunRequest
from callsheet.batch.start import open_batch, set_aside
from callsheet.context.context import RunContext
from callsheet.orchestration.shard_runs import ShardRuns, cancel_shards
from callsheet.plan.grouping import PATIENCE_S, shards_of
from callsheet.settings import load_settings
from flows.content_batch import content_batch
from tests.support.service import Service
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.timeout(300)]

SHOTS, SIZE = 12, 4
SHEET = "id,prompt,takes\n" + "".join(f"s{n},A lamp number {n},1\n" for n in range(SHOTS))


@pytest.fixture
def api(prefect_url: str) -> Api:
    """The tests' Prefect server with the deployments of a batch and its shards."""
    deploy_to(prefect_url)
    return Api(prefect_url)


@pytest.fixture
def home(tmp_path: Path, api: Api, service: Service) -> Iterator[Path]:
    """The home of two workers on one machine."""
    settings = {
        "PREFECT_API_URL": api.url,
        "CALLSHEET_HOME": str(tmp_path / "home"),
        "GOOGLE_GEMINI_BASE_URL": service.url,
        "CALLSHEET_TIER": "3",
        "CALLSHEET_SHARD_SHOTS": str(SIZE),
    }
    workers = [start_worker(tmp_path / f"worker-{n}", settings) for n in range(2)]
    yield tmp_path / "home"
    for worker in workers:
        end(worker)


def done(api: Api, run: str) -> Counter[str]:
    """How many task runs of each task of a run are completed, as the server has it."""
    tasks = (task for task in api.tasks(run) if task["state_type"] == "COMPLETED")
    return Counter(re.sub("-[0-9a-f]{8}$", "", task["task_key"]) for task in tasks)


# Six processes start, each with all of its imports: minutes on a machine that has other things to do.
@pytest.mark.slow
def test_twelve_rows_in_three_shards_are_made_by_two_workers_and_joined_but_for_a_bad_one(
    tmp_path: Path, api: Api, home: Path, service: Service
) -> None:
    sheet = tmp_path / "lamps.csv"
    sheet.write_text(SHEET.replace("number 6,1", "number 6,many"))
    batch = api.start(sheet, on_bad_row="skip")
    wait_for(lambda: api.is_over(batch), within_s=240)
    ended, shards = api.run(batch), api.shards(batch)
    assert (ended["state_name"], ended["state"]["message"]) == ("Partly done", "11 of 12 shots done; 1 left out")
    stretches = [(run["parameters"]["first"], run["parameters"]["last"]) for run in shards]
    assert stretches == [(1, 4), (5, 8), (9, 12)]
    assert {run["state_name"] for run in shards} == {"Completed"}
    assert max(len(json.dumps(run["parameters"])) for run in shards) < 1000, "parameters hold no rows"
    assert service.counts()["accepted"]["image"] == SHOTS - 1
    marker = json.loads((home / "archive" / "lamps" / "lamps.rehearsal" / "_SUCCESS.json").read_text())
    assert (marker["unfinished"], len(marker["sidecars"])) == (["s6"], SHOTS - 1)
    assert len(list((home / "archive").glob("catalog/**/*.parquet"))) == 1, "one part, of the join"
    # No state is lost: the server has every task run that the flows created.
    wait_for(lambda: sorted(done(api, batch).values()) == [1, len(shards)])  # the report, and one for each shard
    made = [{"images": count, "archive": count} for count in (SIZE, SIZE - 1, SIZE)]
    wait_for(lambda: [done(api, run["id"]) for run in shards] == made)


def set_state(api: Api, run: UUID, state: str) -> None:
    """Say of a run what its worker would say."""
    api.ask(f"flow_runs/{run}/set_state", state={"type": state}, force=True)


def inside(url: str, tmp_path: Path, act: Callable[[RunContext, Callable[[], ShardRuns]], Awaitable[None]]) -> None:
    """Act in the place of a batch's run, with what looks after the runs of its shards, begun as often as wished."""
    sheet = tmp_path / "lanterns.csv"
    sheet.write_text(SHEET)
    request = RunRequest(str(sheet))
    settings = load_settings(home=tmp_path / "home", shard_shots=SIZE)

    @flow(name="in-its-place", persist_result=False)
    async def in_its_place() -> None:
        async with open_run(request, settings) as (run, asked), get_client() as client:
            plan = await open_batch(run, asked)
            going = await set_aside(run, plan)
            await act(run, lambda: ShardRuns(client, run, request, plan, going))

    with temporary_settings({PREFECT_API_URL: url}):
        asyncio.run(in_its_place())
        # What tells the server of logs and events would look for it until long after its end.
        APILogWorker.drain_all()
        EventsWorker.drain_all()


def test_a_run_that_is_started_again_joins_its_shards_and_begins_anew_what_crashed_or_fell_silent(
    tmp_path: Path, api: Api
) -> None:
    async def act(run: RunContext, new: Callable[[], ShardRuns]) -> None:
        shards = shards_of([f"s{n}" for n in range(SHOTS)], {"s0", "s5"}, SIZE, run.batch.manifest_sha256)
        killed = new()
        await killed.begin(shards)
        first, second = (one.run.id for one in killed.open)
        set_state(api, first, "RUNNING")

        again = new()
        await again.begin(shards)
        assert [one.run.id for one in again.open] == [first, second], "no shard has two runs"

        set_state(api, first, "CRASHED")
        await again.look()
        (third,) = {one.run.id for one in again.open} - {second}
        set_state(api, third, "RUNNING")
        await again.look()
        for one in again.open:
            one.at -= 3600  # an hour without a sign of life
        await again.look()
        assert api.run(str(third))["state_name"] == "Crashed", "the UI does not show it running for ever"
        await again.look()
        assert len({one.run.id for one in again.open} - {second, third}) == 1

        (last,) = (one.run.id for one in again.open if one.run.id != second)
        set_state(api, last, "FAILED")
        await again.look()
        assert [one.run.id for one in again.open] == [second], "after three runs it is given up"
        set_state(api, second, "COMPLETED")
        await again.look()
        assert not again.open

    inside(api.url, tmp_path, act)


@pytest.mark.long
def test_when_a_batch_is_cancelled_the_runs_of_its_shards_are_those_of_an_earlier_run_as_well(
    tmp_path: Path, api: Api
) -> None:
    async def act(run: RunContext, new: Callable[[], ShardRuns]) -> None:
        await new().begin(shards_of([f"s{n}" for n in range(SHOTS)], {"s0", "s5"}, SIZE, run.batch.manifest_sha256))
        runs = new()
        await runs.begin(shards_of([f"s{n}" for n in range(SHOTS)], {"s0", "s5"}, SIZE, run.batch.manifest_sha256))
        first, second = (one.run.id for one in runs.open)
        set_state(api, first, "RUNNING")
        batch = FlowRun(flow_id=uuid4(), name=run.batch.name)
        ends_alike = batch.model_copy(update={"name": batch.name[3:]})
        await cancel_shards(content_batch, ends_alike, Cancelled())
        assert api.run(str(first))["state_type"] == "RUNNING"
        await cancel_shards(content_batch, batch, Cancelled())
        assert api.run(str(first))["state_type"] == "CANCELLING", "its worker ends it"
        assert api.run(str(second))["state_type"] in ("CANCELLING", "CANCELLED")
        set_state(api, first, "CANCELLED")
        set_state(api, second, "CANCELLED")
        await runs.look()
        assert not runs.open, "a person's word: none is begun again"

    inside(api.url, tmp_path, act)


@pytest.mark.long
def test_what_no_worker_takes_is_done_by_the_batchs_own_run(tmp_path: Path, api: Api) -> None:
    async def act(run: RunContext, new: Callable[[], ShardRuns]) -> None:
        runs = new()
        ids = [f"s{n}" for n in range(SHOTS)]
        await runs.begin(shards_of(ids, ids, SIZE, run.batch.manifest_sha256))
        assert await runs.take_over() == [], "workers have their time"
        first, *_, last = runs.open
        set_state(api, first.run.id, "RUNNING")
        await runs.look()
        for one in runs.open:
            one.at -= PATIENCE_S
        assert [shot.id for shot in await runs.take_over()] == ids[-SIZE:]
        assert api.run(str(last.run.id))["state_type"] == "CANCELLED"
        assert len(runs.open) == 2
        assert runs.remote_shots == set(ids[:-SIZE])

    inside(api.url, tmp_path, act)
