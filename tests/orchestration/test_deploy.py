"""Deployments on a real Prefect server: deployed by the command, carried out when they are due, each edition once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import AwaitingRetry, Scheduled

from callsheet.orchestration.automations import remove_automations
from callsheet.orchestration.deploy import deploy
from callsheet.orchestration.work_pools import PoolType, template_of
from callsheet.settings import load_settings
from tests.support.cli import Cli, Ran
from tests.support.forked import Forge
from tests.support.service import Service

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.timeout(300)]

SHEET = "id,prompt,takes\nlamp,A lamp in the fog,1\n"
# A day ahead of UTC for fourteen hours of it.
ZONE = ZoneInfo("Pacific/Kiritimati")
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, prefect_url: str, forge: Forge) -> Cli:
    """A folder from which everything is deployed, with a manifest."""
    folder = tmp_path_factory.mktemp("deployed") / "team"
    folder.mkdir()
    (folder / "lamp.csv").write_text(SHEET)
    cli = Cli(folder, {"PREFECT_API_URL": prefect_url}, forge)
    assert cli("init").exit_code == 0
    return cli


@pytest.fixture(scope="module")
def deployed(team: Cli) -> Iterator[Ran]:
    """What the command said. Nothing of it stays on the server of the other tests."""
    done = team("deploy", "--json", timeout_s=240)
    assert done.exit_code == 0, done.stderr
    with temporary_settings({PREFECT_API_URL: team.env["PREFECT_API_URL"]}), get_client(sync_client=True) as client:
        for deployment in client.read_deployments():
            client.set_deployment_paused_state(deployment.id, True)
        yield done
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)
        asyncio.run(remove_automations())


@pytest.fixture
async def client(prefect_url: str) -> AsyncIterator[PrefectClient]:
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        async with get_client() as client:
            yield client


async def find(client: PrefectClient, name: str) -> DeploymentResponse:
    return await client.read_deployment_by_name(name)


@pytest.mark.slow
async def test_deploying_again_changes_nothing(client: PrefectClient, deployed: Ran, team: Cli) -> None:
    before = {one.name: one for one in await client.read_deployments()}
    daily = before["daily"]
    assert daily.entrypoint == "callsheet.orchestration.deployed.content_batch"
    assert daily.parameters["edition"] == "{date}"
    assert (daily.work_pool_name, daily.pull_steps) == ("callsheet", [])
    assert daily.concurrency_options is not None
    assert daily.concurrency_options.collision_strategy == "ENQUEUE"
    assert daily.version
    again = await deploy(load_settings(home=team.home), "process", team.folder)
    assert dict(again.deployments) == deployed.json["deployments"]
    assert list(again.automations) == deployed.json["automations"]
    after = {one.name: one for one in await client.read_deployments()}
    assert {name: one.id for name, one in after.items()} == {name: one.id for name, one in before.items()}
    for name, one in after.items():
        assert [schedule.id for schedule in one.schedules] == [schedule.id for schedule in before[name].schedules]
    pool = await client.read_work_pool("callsheet")
    assert pool.base_job_template["variables"]["properties"]["working_dir"]["default"] == str(team.folder)


@pytest.mark.parametrize("pool_type", get_args(PoolType))
async def test_the_server_takes_the_template_of_each_work_pool(client: PrefectClient, pool_type: PoolType) -> None:
    """It checks that all that a job's configuration refers to is there."""
    name = f"try-{pool_type}"
    made = await client.create_work_pool(
        WorkPoolCreate(name=name, type=pool_type, base_job_template=template_of(pool_type))
    )
    assert made.type == pool_type
    await client.delete_work_pool(name)


@pytest.mark.slow
def test_without_a_server_nothing_is_deployed_and_it_is_said_how_to_start_one(bare_cli: Cli) -> None:
    failed = bare_cli("deploy", "--json")
    assert failed.exit_code == 1
    assert "callsheet ui" in failed.json["message"]


async def due(client: PrefectClient, when: datetime, **parameters: Any) -> FlowRun:
    """A run of the daily deployment that is due at this time, as its schedule makes them."""
    daily = await find(client, "content-batch/daily")
    return await client.create_flow_run_from_deployment(
        daily.id, parameters={"manifest": "lamp.csv", **parameters}, state=Scheduled(scheduled_time=when)
    )


def carry_out(team: Cli, forge: Forge, service: Service, *runs: str) -> None:
    env = {**os.environ, **team.env, "GOOGLE_GEMINI_BASE_URL": service.url}
    process = forge.start(runs, team.folder, env, main="tests.support.scheduled:main")
    stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == 0, f"{stdout}\n{stderr}"


@pytest.mark.slow
async def test_ten_editions_are_made_once_each_late_overlapping_and_tried_again(
    client: PrefectClient, deployed: Ran, team: Cli, forge: Forge, service: Service
) -> None:
    """Ten days in one go: all late, the sixth begins while the fifth works, the third is tried again afterwards."""
    daily = await find(client, "content-batch/daily")
    [schedule] = daily.schedules
    moved = CronSchedule(cron="30 5 * * *", timezone=str(ZONE))
    await client.update_deployment_schedule(daily.id, schedule.id, schedule=moved)
    first = datetime(2026, 11, 1, 5, 30, tzinfo=ZONE)
    runs = [await due(client, first + n * DAY) for n in range(10)]
    ids = [str(run.id) for run in runs]
    carry_out(team, forge, service, *ids[:4], f"{ids[4]}+{ids[5]}", *ids[6:])
    # The schedule has become another one meanwhile: what the run was due for stays what it was.
    await client.update_deployment_schedule(
        daily.id, schedule.id, schedule=CronSchedule(cron="30 5 * * *", timezone="UTC")
    )
    await client.set_flow_run_state(runs[2].id, AwaitingRetry(), force=True)
    carry_out(team, forge, service, ids[2])

    ended = [await client.read_flow_run(UUID(run)) for run in ids]
    editions = [f"2026-11-{n:02}" for n in range(1, 11)]
    assert [run.parameters["edition"] for run in ended] == editions
    assert [run.name for run in ended] == [f"lamp.{edition}.rehearsal" for edition in editions]
    assert {run.state_name for run in ended} == {"Completed"}
    assert ended[2].run_count == 2
    assert service.counts()["accepted"]["image"] == 10
