"""Approval from end to end: by command and by form, with a real Prefect server and a counted service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flow_engine import run_flow_async
from prefect.flows import Flow
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.callables import parameter_schema

from callsheet.batch.request import RunRequest
from callsheet.orchestration.forms import FrameChoice
from callsheet.settings import load_settings
from flows.approve_frames import approve_frames
from flows.content_batch import content_batch
from tests.support.cli import Cli
from tests.support.service import Service
from tests.support.whole_batch import whole_batch

pytestmark = [pytest.mark.xdist_group("prefect")]

BATCH = "sheet.rehearsal"
SHEET = """id,prompt,takes,seed,select,motion_prompt,duration_s
kite,A kite over dunes,2,5,approve,It climbs,4
boat,A paper boat on a canal,2,9,approve,It drifts,4
cup,A hand-thrown cup,1,8,,,
"""


@pytest.mark.slow
def test_run_ends_waiting_approve_decides_and_run_goes_on_with_the_approved_take_alone(
    cli: Cli, service: Service
) -> None:
    (cli.folder / "sheet.csv").write_text(SHEET)
    env = {"GOOGLE_GEMINI_BASE_URL": service.url}
    first = cli("run", "sheet.csv", "--json", **env)
    assert first.exit_code == 5, first.stderr
    assert f"callsheet approve {BATCH}" in first.stderr
    assert (first.json["shots"]["done"], first.json["shots"]["waiting"]) == (1, 2)
    assert service.counts()["accepted"] == {"image": 5, "video": 0}

    shown = cli("approve", BATCH, "--json")
    assert shown.exit_code == 0
    assert "kite: waiting: approval: A kite over dunes" in shown.stdout
    asked = {one["shot"]: {take["take"]: take["sha256"] for take in one["takes"]} for one in shown.json["waiting"]}
    refused = cli("approve", BATCH, "kite=2", "bout=reject", "--json")
    assert refused.exit_code == 2
    assert "did you mean boat?" in refused.json["message"]

    chosen = f"kite=2@{asked['kite'][2][:12]}"
    done = cli("approve", BATCH, chosen, "boat=reject", "--by", "Ada", "--run", "--json", **env)
    assert done.exit_code == 3, done.stderr
    assert [(one["shot"], one["how"], one["by"]) for one in done.json["decided"]] == [
        ("kite", "new", "Ada"), ("boat", "new", "Ada"),
    ]  # fmt: skip
    assert done.json["run"]["shots"] == {"total": 3, "done": 2, "blocked": 1, "failed": 0, "parked": 0, "waiting": 0}
    assert service.counts()["accepted"] == {"image": 5, "video": 1}
    sidecar = json.loads((Path(first.json["archive"]) / "shots/kite/shot.json").read_text())
    assert sidecar["clips"][0]["file"]["parent"] == asked["kite"][2]


@pytest.mark.slow
async def test_the_form_decides_and_starts_the_next_run_of_the_batch_s_deployment(
    prefect_url: str, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sheet.csv").write_text(SHEET)
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", service.url)
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        async with get_client() as client:
            batches, form = await deployed(client, content_batch), await deployed(client, approve_frames)
            first = await begun(client, batches, {"manifest": str(tmp_path / "sheet.csv")})
            waiting = await end_of(client, content_batch, first)
            assert (waiting.name, waiting.type.value) == ("Paused", "PAUSED")
            assert waiting.message == f"1 of 3 shots done; 2 waiting; 2 to be approved: callsheet approve {BATCH}"

            form_refuses = {"batch": BATCH, "by": "Ada", "decisions": [{"shot": "kite", "takes": [0]}]}
            with pytest.raises(PrefectHTTPStatusError, match="less than the minimum"):
                await begun(client, form, form_refuses)
            choices = [{"shot": "kite", "takes": [2]}, {"shot": "boat", "reject": True, "note": "too dark"}]
            asked = {"batch": BATCH, "by": "Ada", "decisions": choices}
            ends = [await end_of(client, approve_frames, await begun(client, form, asked)) for _ in range(2)]
            runs = await client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[batches]))
            )
            later = [run for run in runs if run.id != first.id]
            assert [run.name for run in later] == [BATCH], "one is about to begin, so the second form starts no other"
            state = await end_of(client, content_batch, later[0])
            last = await end_of(client, approve_frames, await begun(client, form, asked))
            for deployment in (batches, form):
                await client.delete_deployment(deployment)
    assert [end.message for end in ends] == ["2 decided", "0 decided; 2 as before"]
    assert later[0].parameters["manifest"] == str(tmp_path / "sheet.csv")
    assert (state.name, state.message) == ("Partly done", "2 of 3 shots done; 1 blocked")
    assert last.message == "0 decided; 2 as before"
    assert service.counts()["accepted"] == {"image": 5, "video": 1}


async def test_the_flow_records_a_decision_and_the_batch_goes_on_by_it(
    prefect_url: str, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In short: a batch that no deployment has run goes on within the flow."""
    (tmp_path / "sheet.csv").write_text("id,prompt,takes,select,motion_prompt\nkite,A kite,1,approve,It climbs\n")
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", service.url)
    waiting = await whole_batch(RunRequest(str(tmp_path / "sheet.csv")), load_settings())
    assert waiting.exit_code == 5
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        asked = [FrameChoice(shot="kite", reject=True, note="too dark")]
        state = await approve_frames(BATCH, asked, "Ada", return_state=True)
    assert (state.name, state.message) == ("Decided", "1 decided")
    ended = await state.aresult()
    [decided] = ended["decided"]
    assert (decided["shot"], decided["rejected"], decided["by"], decided["note"]) == ("kite", True, "Ada", "too dark")
    assert ended["run"]["shots"]["blocked"] == 1
    assert service.counts()["accepted"] == {"image": 1, "video": 0}


async def deployed(client: PrefectClient, flow: Flow[..., Any]) -> UUID:
    """A deployment of the flow with the form that the UI shows, which the server holds runs against."""
    return await client.create_deployment(
        await client.create_flow(flow),
        f"approval-{uuid4().hex[:6]}",
        parameter_openapi_schema=parameter_schema(flow).model_dump_for_openapi(),
        enforce_parameter_schema=True,
    )


async def begun(client: PrefectClient, deployment: UUID, asked: dict[str, Any]) -> FlowRun:
    return await client.create_flow_run_from_deployment(deployment, parameters=asked)


async def end_of(client: PrefectClient, flow: Flow[..., Any], run: FlowRun) -> State[Any]:
    """The final state of a run, done by this process instead of a worker's."""
    await run_flow_async(flow, flow_run=run, parameters=run.parameters, return_type="state")
    state = (await client.read_flow_run(run.id)).state
    assert state is not None
    return state
