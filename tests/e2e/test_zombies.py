"""Worker and flow process are killed with SIGKILL in the middle of a scheduled batch: it goes on elsewhere.

Real workers on a real Prefect server with the automations as `make deploy` makes them. About three minutes.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled
from pydantic import SecretStr

from callsheet.orchestration.automations import HEARTBEAT_S, ensure_automations, remove_automations
from tests.support.paths import ROOT
from tests.support.receiver import Receiver, receiving
from tests.support.service import Service, start_service

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("prefect"), pytest.mark.timeout(800)]

SHOTS = 4
SHEET = "id,prompt,motion_prompt,duration_s\n" + "".join(
    f"s{n},A lamp {n},The lamp {n} sways,4\n" for n in range(SHOTS)
)
GOES_ON_WITHIN_S = 120
POOL = "zombies"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Videos take 20 s here, so a batch can be killed in the middle."""
    service = start_service(tmp_path / "service", factor=60, latency={"image": 1, "video": 1200})
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


@pytest.fixture
def chat() -> Iterator[Receiver]:
    with receiving() as chat:
        yield chat


@pytest.fixture
async def client(prefect_url: str, chat: Receiver) -> AsyncIterator[PrefectClient]:
    """A client of a server with the automations and a work pool."""
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        await ensure_automations(SecretStr(chat.url))
        async with get_client() as client:
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"), overwrite=True)
            yield client
        await remove_automations()


@pytest.fixture
def workers() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for worker in started:
        end(worker)


def start_worker(url: str, home: Path, name: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PREFECT_API_URL": url, "PREFECT_HOME": str(home), "PREFECT_WORKER_QUERY_SECONDS": "2"}
    home.mkdir()
    with (home / "worker.log").open("wb") as log:
        argv = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--name", name]
        return subprocess.Popen(argv, cwd=home, env=env, stdout=log, stderr=log)


def end(worker: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the worker and everything that it has started, as when a machine loses its power."""
    if worker.poll() is None:
        family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
        for process in family:
            process.kill()
        psutil.wait_procs(family, timeout=20)


async def deploy(client: PrefectClient, folder: Path, service: Service) -> UUID:
    """The content batch on the work pool: one at a time, others wait for their turn."""
    (folder / "lamps.csv").write_text(SHEET)
    environment = {
        "PYTHONPATH": str(ROOT),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "CALLSHEET_HOME": str(folder / "home"),
        "CALLSHEET_TIER": "3",
        "CALLSHEET_VIDEO_DEADLINE_S": "100000",
        "GOOGLE_GEMINI_BASE_URL": service.url,
    }
    flow = await client.create_flow_from_name("content-batch")
    return await client.create_deployment(
        flow,
        "zombies",
        entrypoint="flows.content_batch.content_batch",
        work_pool_name=POOL,
        concurrency_limit=1,
        parameters={"manifest": str(folder / "lamps.csv")},
        job_variables={"env": environment},
        pull_steps=[],
    )


async def scheduled(client: PrefectClient, deployment: UUID, edition: str, in_s: float) -> FlowRun:
    at = datetime.now(UTC) + timedelta(seconds=in_s)
    return await client.create_flow_run_from_deployment(
        deployment, parameters={"edition": edition}, state=Scheduled(scheduled_time=at)
    )


async def comes_true(condition: Callable[[], Awaitable[bool]], within_s: float) -> None:
    give_up = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < give_up, "it did not come to pass"
        await asyncio.sleep(0.5)


async def test_what_a_lost_machine_was_doing_goes_on_elsewhere_within_two_minutes(
    client: PrefectClient,
    service: Service,
    chat: Receiver,
    tmp_path: Path,
    workers: list[subprocess.Popen[bytes]],
) -> None:
    url, deployment = str(client.api_url).rstrip("/"), await deploy(client, tmp_path, service)
    runs = [await scheduled(client, deployment, f"e{n}", 30.0 * n) for n in range(3)]
    workers.append(start_worker(url, tmp_path / "one", "one"))
    await comes_true(lambda: accepted(service, SHOTS), 90)
    await asyncio.sleep(2)  # the operations' names are on record
    end(workers[0])
    workers.append(start_worker(url, tmp_path / "two", "two"))

    await comes_true(lambda: goes_on(client, runs), GOES_ON_WITHIN_S)
    await comes_true(lambda: all_over(client, runs), 400)

    ended = [await client.read_flow_run(run.id) for run in runs]
    assert [run.state and run.state.name for run in ended] == ["Completed"] * 3
    assert [run.state and run.state.message for run in ended] == [f"{SHOTS} of {SHOTS} shots done"] * 3
    assert [run.run_count for run in ended] == [2, 1, 1]
    assert service.counts()["accepted"] == {"image": 3 * SHOTS, "video": 3 * SHOTS}
    assert chat.told("lamps.e0.rehearsal crashed", "goes on by itself"), chat.texts
    left = await client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[runs[0].id])))
    assert {task.state.type.value for task in left if task.state} <= {"COMPLETED", "CRASHED"}


async def accepted(service: Service, videos: int) -> bool:
    counts: dict[str, Any] = await asyncio.to_thread(service.counts)
    return bool(counts["accepted"]["video"] >= videos)


async def goes_on(client: PrefectClient, runs: list[FlowRun]) -> bool:
    """The killed run is at work again; or one that was scheduled later has got the slot, and it is next."""
    first, *later = [await client.read_flow_run(run.id) for run in runs]
    again = first.run_count == 2 and first.state is not None and first.state.is_running()
    return again or any(run.state is not None and run.state.is_running() for run in later)


async def all_over(client: PrefectClient, runs: list[FlowRun]) -> bool:
    found = [await client.read_flow_run(run.id) for run in runs]
    return all(run.state is not None and run.state.is_final() for run in found)
