"""A batch that today's quota parks has its next run scheduled, once, for when the day turns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import run_flow_async
from prefect.settings import PREFECT_API_URL, temporary_settings

from callsheet.ledger.quota import pacific_day
from callsheet.orchestration.resume import MARGIN
from flows.content_batch import content_batch
from tests.support.service import Service

pytestmark = [pytest.mark.xdist_group("prefect")]

FULL: dict[str, Any] = {"match": {"kind": "image", "prompt": "lamp 2"}, "fault": "429-day"}


async def test_the_next_run_of_a_parked_batch_is_scheduled_once_for_the_turn_of_the_day(
    prefect_url: str, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.script(FULL)
    (tmp_path / "lamps.csv").write_text("id,prompt\none,A lamp 1\ntwo,A lamp 2\n")
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", service.url)
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        async with get_client() as client:
            flow = await client.create_flow(content_batch)
            deployment = await client.create_deployment(flow, f"parked-{uuid4().hex[:6]}")
            asked = {"manifest": str(tmp_path / "lamps.csv"), "edition": "{date}"}
            ends = [await end_of(client, deployment, asked) for _ in range(2)]
            runs = await client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
            )
            await client.delete_deployment(deployment)
    assert [(end.type.value, end.name) for end in ends] == [("PAUSED", "Suspended")] * 2
    assert "1 of 2 shots done; 1 parked; goes on by itself at 20" in (ends[0].message or "")
    (later,) = [run for run in runs if run.state and run.state.is_scheduled()]
    assert later.name == f"lamps.{datetime.now(UTC):%Y-%m-%d}.rehearsal"
    assert later.parameters == {**asked, "edition": f"{datetime.now(UTC):%Y-%m-%d}"}
    assert abs(turns(service) + MARGIN - starts(later)) < timedelta(seconds=2)


async def end_of(client: PrefectClient, deployment: Any, asked: dict[str, Any]) -> State[Any]:
    """The final state of a run of the deployment, done by this process instead of a worker's."""
    run = await client.create_flow_run_from_deployment(deployment, parameters=asked)
    await run_flow_async(content_batch, flow_run=run, parameters=run.parameters, return_type="state")
    state = (await client.read_flow_run(run.id)).state
    assert state is not None
    return state


def starts(run: FlowRun) -> datetime:
    assert run.expected_start_time is not None
    return run.expected_start_time


def turns(service: Service) -> datetime:
    """The real time at which the service's day turns; its clock runs 60 times faster."""
    now = datetime.fromisoformat(httpx2.get(f"{service.url}/rehearsal/status").json()["now"])
    return datetime.now(UTC) + (pacific_day(now)[1] - now) / 60
