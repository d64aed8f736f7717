"""What a whole run leaves on the Prefect server: named, tagged and readable, and without a key or a signed URL."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from benchmarks.cluster import Api
from callsheet.orchestration.artifacts import artifact_key
from flows.content_batch import content_batch
from tests.support.cli import Cli
from tests.support.service import Service, start_service
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.xdist_group("prefect")]

KEYS = {
    "GEMINI_API_KEY": "AIzaSyD-watched0run0key0of0thirty9chars",
    "CALLSHEET_AGENT_PLATFORM_API_KEY": "AQ.Ab8RN6watched",
}
# What a signed URL of Google or Amazon carries.
SIGNATURES = ("X-Goog-Signature", "X-Amz-Signature", "GoogleAccessId=", "&Signature=")
SHEET = """id,prompt,takes,motion_prompt,duration_s,cuts
boat,A boat at first light,2,It drifts in,4,9x16
cup,A cup on a linen cloth,1,,,
sign,A sign over a door,1,,,
refused,A bottle with a famous label,1,,,
kite,A kite over a beach,1,It climbs,8,
"""
BATCH = "watched.live"  # the server is shared: no other batch has this name
AUTUMN = "id,prompt,takes,motion_prompt,duration_s\ncup,A cup,2,,\nkite,A kite,2,It climbs,4\n"
TASKS = ("images: boat", "frames: boat", "clips: boat", "cuts: boat", "archive: cup", "report")
BLOCKED: dict[str, Any] = {"match": {"kind": "image", "prompt": "famous label"}, "fault": "block"}
UNDER_WAY: dict[str, Any] = {"match": {"kind": "poll"}, "fault": "503"}  # no clip is ever told to be done
BROKEN: dict[str, Any] = {"match": {"kind": "image", "prompt": "linen", "first": 1}, "fault": "503"}


async def test_the_sheet_of_a_shot_is_shown_while_others_are_at_work_and_no_key_is(
    prefect_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callsheet.orchestration.artifacts.SHOW_EVERY_S", 0.2)
    service = start_service(tmp_path / "service", factor=60, latency={"image": 0, "video": 0})
    for name in ("GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL"):
        monkeypatch.setenv(name, service.url)
    for name, key in {**KEYS, "CALLSHEET_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, key)
    (tmp_path / "watched.csv").write_text(AUTUMN)
    service.script(UNDER_WAY)
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        run = asyncio.create_task(content_batch(str(tmp_path / "watched.csv"), live=True))
        early: list[str] = []
        await asyncio.to_thread(wait_for, lambda: run.done() or early.extend(shown(prefect_url, BATCH)) or early)
        service.script()
        await run
    service.process.terminate()
    service.process.wait(timeout=20)
    assert [text.count("#### cup") for text in early] == [1]
    assert "#### kite" not in early[0]
    [sheet] = shown(prefect_url, BATCH)
    assert ["#### cup" in sheet, "#### kite" in sheet] == [True, True], "it took the place of the earlier one"
    text = json.dumps(everything(prefect_url, BATCH))
    assert not [word for word in (*KEYS.values(), *SIGNATURES) if word in text]


def shown(api: str, batch: str) -> list[str]:
    """The contact sheets of a batch on the server."""
    wanted = {"key": {"any_": [f"{artifact_key(batch)}-contact-sheet"]}}
    return [artifact["data"] for artifact in Api(api).ask("artifacts/filter", artifacts=wanted)]


@pytest.mark.slow
def test_a_run_is_named_tagged_and_readable_and_shows_no_key(cli: Cli, service: Service) -> None:
    service.script(BLOCKED, BROKEN)
    (cli.folder / "spring.csv").write_text(SHEET)
    servers = {"GOOGLE_GEMINI_BASE_URL": service.url, "GOOGLE_VERTEX_BASE_URL": service.url}
    asked = ("spring.csv", "--live", "--yes", "--edition", "2026-11-21", "--budget", "1.20", "--json")
    done = cli("run", *asked, **KEYS, **servers)
    assert done.exit_code == 4, done.stderr
    seen = once_recorded(cli.env["PREFECT_API_URL"], "spring.2026-11-21.live")
    names_and_tags(seen)
    artifacts = {one["key"].removeprefix("spring-2026-11-21-live-"): one for one in seen["artifacts"]}
    reads_well(artifacts, done.json["gallery"])
    text = json.dumps(seen)
    assert not [word for word in (*KEYS.values(), *SIGNATURES) if word in text]


def once_recorded(api: str, name: str) -> dict[str, Any]:
    """All that the server tells of a flow run, once its recorder has written what the run had told it at its end."""
    give_up = time.monotonic() + 60
    while True:
        seen = everything(api, name)
        states = {task["name"]: task["state_type"] for task in seen["task_runs"]}
        if set(TASKS) <= {name for name, state in states.items() if state == "COMPLETED"}:
            return seen
        assert time.monotonic() < give_up, f"not recorded: {sorted(set(TASKS) - set(states))} of {states}"
        time.sleep(0.2)


def everything(api: str, name: str) -> dict[str, Any]:
    """All that the server tells of a flow run: itself with its parameters, task runs, artifacts, logs and events."""

    def ask(what: str, **wanted: Any) -> Any:
        return Api(api).ask(f"{what}/filter", **wanted)

    (run,) = ask("flow_runs", flow_runs={"name": {"any_": [name]}})
    of_run = {"flow_run_id": {"any_": [run["id"]]}}
    return {
        "run": run,
        "task_runs": ask("task_runs", flow_runs={"id": {"any_": [run["id"]]}}),
        "artifacts": ask("artifacts", artifacts=of_run),
        "logs": ask("logs", logs=of_run),
        "states": httpx2.get(f"{api}/flow_run_states/", params={"flow_run_id": run["id"]}).json(),
        "events": ask("events", filter={"any_resource": {"id": [f"prefect.flow-run.{run['id']}"]}}),
    }


def names_and_tags(seen: dict[str, Any]) -> None:
    run = seen["run"]
    assert {"spring", "live", "2026-11-21"} <= set(run["tags"])
    assert (run["state"]["type"], run["state"]["name"]) == ("PAUSED", "Suspended")
    assert run["state"]["message"].startswith("3 of 5 shots done; 1 blocked, 1 parked")
    assert all({"spring", "live"} <= set(task["tags"]) for task in seen["task_runs"])


def reads_well(artifacts: dict[str, dict[str, Any]], gallery: str) -> None:
    assert set(artifacts) >= {"plan", "progress", "contact-sheet", "failures", "spend", "gallery"}
    assert artifacts["progress"]["data"] == 100
    assert "shots 5 of 5; 2 shots without success" in artifacts["progress"]["description"]
    sheets = artifacts["contact-sheet"]["data"]
    assert sheets.count("data:image/jpeg;base64,") == 4
    assert "#### boat" in sheets
    failures = artifacts["failures"]["data"]
    assert "Reword the prompt" in failures
    assert "Raise the budget" in failures
    assert "| Budget | $1.20 |" in artifacts["spend"]["data"]
    assert "| Model | Today | Last minute | Goes on |" in artifacts["spend"]["data"]
    assert gallery in artifacts["gallery"]["description"]
