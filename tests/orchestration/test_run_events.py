"""Events of batches: what a run tells the server, and a flow of somebody else's that an automation feeds with it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, get_client
from prefect.client.orchestration import PrefectClient
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.settings import PREFECT_API_URL, temporary_settings
from ruamel.yaml import YAML

from benchmarks.cluster import Api
from flows.content_batch import content_batch
from tests.support.paths import ROOT
from tests.support.service import Service
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.xdist_group("prefect")]

HEAD = "id,prompt,takes,select,motion_prompt\n"
Bring = Callable[[str, str], Awaitable[str]]


@pytest.fixture
def bring(prefect_url: str, tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Bring:
    """Runs a sheet of a name against the server; returns the batch's name."""
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", service.url)
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))

    async def run(name: str, rows: str) -> str:
        (tmp_path / f"{name}.csv").write_text(HEAD + rows)
        with temporary_settings({PREFECT_API_URL: prefect_url}):
            await content_batch(str(tmp_path / f"{name}.csv"), return_state=True)
        return f"{name}.rehearsal"

    return run


def told(api: str, batch: str) -> dict[str, dict[str, Any]]:
    """The batch's events on the server: the last payload of each."""
    wanted = {"resource": {"id": [f"callsheet.batch.{batch}"]}}
    found = Api(api).ask("events/filter", filter=wanted, limit=50)["events"]
    return {one["event"]: one["payload"] for one in reversed(found)}


def are_there(files: list[dict[str, str]]) -> bool:
    return all(Path(file["uri"]).is_file() for file in files)


async def test_a_batch_tells_of_its_files_and_how_it_ended(bring: Bring, prefect_url: str) -> None:
    batch = await bring("evented", "cup,A cup,2,,\nboat,A boat,1,,\n")
    wait_for(lambda: len(told(prefect_url, batch)) == 2)
    events = told(prefect_url, batch)
    ended = events["callsheet.batch.ended"]
    assert (ended["exit_code"], ended["shots"]["done"]) == (0, 2)
    kinds = [file["kind"] for file in events["callsheet.assets.archived"]["files"]]
    assert kinds.count("take") >= 1
    assert are_there(events["callsheet.assets.archived"]["files"])


@pytest.mark.long
async def test_a_batch_that_a_person_keeps_waiting_tells_so(bring: Bring, prefect_url: str) -> None:
    batch = await bring("asked", "cup,A cup,2,approve,It steams\n")
    wait_for(lambda: "callsheet.batch.waits-for-approval" in told(prefect_url, batch))
    waits = told(prefect_url, batch)["callsheet.batch.waits-for-approval"]
    assert (waits["to_approve"], waits["command"]) == (1, "callsheet approve asked.rehearsal")
    assert "callsheet.batch.parked" not in told(prefect_url, batch)


@flow
def post(batch: str, files: list[dict[str, str]]) -> None:
    """Somebody else's flow: its runs are looked at, none is started."""


async def test_the_automation_of_the_docs_feeds_a_flow_with_the_files(bring: Bring, prefect_url: str) -> None:
    page = (ROOT / "docs" / "howto" / "events.md").read_text(encoding="utf-8")
    [text] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        async with get_client() as client:
            deployment = await client.create_deployment(await client.create_flow(post), "cuts")
            given = YAML(typ="safe").load(text)
            given["actions"][0]["deployment_id"] = str(deployment)
            given["trigger"]["match"] = {"callsheet.mode": "rehearsal", "callsheet.campaign": "posted"}
            automation = await client.create_automation(AutomationCore.model_validate(given))
            try:
                await bring("posted", "cup,A cup,1,,\n")
                wait_for(lambda: runs_of(prefect_url, str(deployment)))
            finally:
                await remove(client, automation)
    [run] = runs_of(prefect_url, str(deployment))
    assert run["parameters"]["batch"] == "posted.rehearsal"
    assert {file["shot"] for file in run["parameters"]["files"]} == {"cup"}
    assert "take" in {file["kind"] for file in run["parameters"]["files"]}


def runs_of(api: str, deployment: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Api(api).ask("flow_runs/filter", flow_runs={"deployment_id": {"any_": [deployment]}})
    return found


async def remove(client: PrefectClient, automation: Any) -> None:
    """Take the automation off the server of the other tests."""
    await client.delete_automation(automation.id if isinstance(automation, Automation) else automation)
