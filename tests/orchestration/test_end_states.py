"""How runs end on the server: what failed, what waits and what is parked has a state that its filters find."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.flow_engine import run_flow_async
from prefect.settings import PREFECT_API_URL, temporary_settings

from callsheet.approval.decision_input import TakeSelection
from callsheet.batch.approve import decide
from callsheet.errors import ManifestError
from callsheet.orchestration.end_states import carry_out, end_state, end_state_of_part
from callsheet.settings import load_settings
from flows.content_batch import content_batch
from tests.support.service import Service

# Prefect's pages filter by these names alone (KF in its first UI, 3.8.8).
FILTERED = {"Completed", "Failed", "Paused", "Suspended", "Cancelled", "Crashed"}
WAITS = "id,prompt,takes,select,motion_prompt,duration_s\nkite,A kite,1,approve,It climbs,4\n"


@pytest.mark.parametrize(
    ("code", "type_", "name"),
    [
        (0, "COMPLETED", "Completed"),
        (1, "FAILED", "Failed"),
        (3, "COMPLETED", "Partly done"),
        (4, "PAUSED", "Suspended"),
        (5, "PAUSED", "Paused"),
        (130, "FAILED", "Failed"),
    ],
)
def test_the_final_state_follows_from_the_exit_code_and_tells_what_is_held(code: int, type_: str, name: str) -> None:
    summary = {"exit_code": code, "shots": {"total": 2, "done": 2}, "usd": {"held": 0.4}}
    state = end_state(summary, "more")
    assert (state.type.value, state.name) == (type_, name)
    assert state.message == "2 of 2 shots done; more; $0.40 held by requests that are not settled"
    assert state.data == summary
    assert state.is_completed() or name in FILTERED
    part = end_state_of_part(summary)
    assert part.is_completed(), "the batch that it is a part of says what is to come"
    assert (part.name == "Completed") == (code == 0)


@pytest.mark.xdist_group("prefect")
async def test_a_mistake_is_one_sentence_and_a_page_and_no_traceback(
    prefect_url: str, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong.csv").write_text("id,prompt,takes\none,A lamp,many\n")
    at_service(service, tmp_path, monkeypatch)
    asked = {"manifest": str(tmp_path / "wrong.csv")}
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        async with get_client() as client:
            run = await end_of_run(client, asked)
            assert run.state is not None
            assert (run.state_type, run.state_name) == (StateType.FAILED, "Failed")
            assert "wrong.csv:2" in (run.state.message or "")
            [page] = await client.read_artifacts(
                artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
            )
            assert "takes" in str(page.data)
            assert (page.key or "").endswith("-failures")
            logs = await client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])))
            assert not [line for line in logs if "Traceback" in line.message or "File " in line.message]
            with pytest.raises(ManifestError, match="takes"):
                await carry_out(content_batch, asked)
            with pytest.raises(ManifestError, match="takes"):
                await content_batch.fn.__wrapped__(**asked)
            (tmp_path / "wrong.csv").write_text("id,prompt,takes\none,A lamp,1\n")
            mended, other = [await end_of_run(client, {**asked, "campaign": name}) for name in ("wrong", "other")]
            assert await failures_of(client, mended) == ["Nothing failed any more."]
            assert await failures_of(client, other) == [], "nothing failed, so no page says so"


@pytest.mark.long
@pytest.mark.xdist_group("prefect")
async def test_what_waits_is_resumed_or_closed_by_the_run_that_goes_on_with_it(
    prefect_url: str, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = f"w{uuid4().hex[:6]}"
    (tmp_path / f"{campaign}.csv").write_text(WAITS)
    at_service(service, tmp_path, monkeypatch)
    asked = {"manifest": str(tmp_path / f"{campaign}.csv")}
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        async with get_client() as client:
            by_hand = await carry_out(content_batch, asked)
            assert by_hand["exit_code"] == 5
            first, deployed = [(await runs_of(client, campaign))[0], await end_of_run(client, asked)]
            assert (await client.read_flow_run(first.id)).state_name == "Completed", "the second run went on with it"
            assert (deployed.state_type, deployed.state_name) == (StateType.PAUSED, "Paused")
            await client.resume_flow_run(deployed.id)
            resumed = await client.read_flow_run(deployed.id)
            assert (resumed.state_type, resumed.state_name) == (StateType.SCHEDULED, "Resuming")
            await decide(load_settings(), f"{campaign}.rehearsal", [TakeSelection("kite", (1,))], "Ada")
            await run_flow_async(content_batch, flow_run=resumed, parameters=resumed.parameters, return_type="state")
            assert (await client.read_flow_run(deployed.id)).state_name == "Completed"
    assert service.counts()["accepted"] == {"image": 1, "video": 1}


@pytest.mark.xdist_group("prefect")
async def test_a_run_that_no_worker_would_take_is_not_resumed(
    prefect_url: str, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = f"h{uuid4().hex[:6]}"
    (tmp_path / f"{campaign}.csv").write_text(WAITS)
    at_service(service, tmp_path, monkeypatch)
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        async with get_client() as client:
            await carry_out(content_batch, {"manifest": str(tmp_path / f"{campaign}.csv")})
            [run] = await runs_of(client, campaign)
            reply = await client.resume_flow_run(run.id)
            assert "without a deployment" in json.dumps(reply.model_dump(mode="json"))
            assert (await client.read_flow_run(run.id)).state_name == "Paused"


def at_service(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", service.url)


async def end_of_run(client: PrefectClient, asked: dict[str, Any]) -> FlowRun:
    """A run of a deployment, done by this process instead of a worker's."""
    flow = await client.create_flow(content_batch)
    deployment = await client.create_deployment(flow, f"ends-{uuid4().hex[:6]}")
    run = await client.create_flow_run_from_deployment(deployment, parameters=asked)
    await run_flow_async(content_batch, flow_run=run, parameters=run.parameters, return_type="state")
    return await client.read_flow_run(run.id)


async def runs_of(client: PrefectClient, campaign: str) -> list[FlowRun]:
    return [run for run in await client.read_flow_runs(limit=200) if run.name == f"{campaign}.rehearsal"]


async def failures_of(client: PrefectClient, run: FlowRun) -> list[str]:
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    found = await client.read_artifacts(artifact_filter=of_run)
    return [str(one.data) for one in found if (one.key or "").endswith("-failures")]
