"""Batches that a program starts over HTTP, by the recipes of docs/howto/http.md as they are written there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.utilities.callables import parameter_schema

from callsheet.batch.resume import continuation
from callsheet.clock import Clock
from callsheet.ledger import Ledger
from callsheet.orchestration.server import ensure_server, stop_server
from callsheet.settings import load_settings
from flows.content_batch import content_batch
from tests.support.cli import Cli
from tests.support.forked import Forge
from tests.support.paths import ROOT
from tests.support.plain_server import Answer, PlainServer, plain_server
from tests.support.service import Service, start_service

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.timeout(900)]

PAGE = (ROOT / "docs" / "howto" / "http.md").read_text(encoding="utf-8")
SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS13ZWJob29rLW9mLXRoZS10ZXN0"
PASSWORD = "callsheet:pass-word-of-the-server"
ROWS = [{"id": "cup", "prompt": "A cup on a table", "takes": 1}]


def recipe(language: str, words: str) -> str:
    """The one block of code of the page that is in this language and has these words."""
    (found,) = [one for one in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if words in one]
    return str(found)


def start_by_curl(api_url: str, order: str, password: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PREFECT_API_URL": api_url, "ORDER": order, "PREFECT_API_AUTH_STRING": password}
    return subprocess.run(
        ["bash", "-c", recipe("bash", "curl")], env=env, capture_output=True, text=True, timeout=800, check=False
    )


def start_by_function(monkeypatch: pytest.MonkeyPatch, api_url: str, *order: Any) -> str:
    names: dict[str, Any] = {}
    exec(recipe("python", "def start_batch"), names)  # noqa: S102  the recipe itself
    monkeypatch.setenv("PREFECT_API_URL", api_url)
    return str(names["start_batch"](*order))


def start_by_n8n(api_url: str) -> str:
    """Send what the workflow's nodes would, their expressions filled in."""
    answers: dict[str, Any] = {}

    def fill(text: str) -> str:
        filled = text.removeprefix("=").replace("http://127.0.0.1:4200/api", api_url)
        filled = filled.replace("{{ $execution.id }}", "77")
        node = r"\{\{ \$\('(\w+)'\)\.item\.json\.(\w+) \}\}"
        return re.sub(node, lambda found: str(answers[found[1]][found[2]]), filled)

    for node in json.loads(recipe("json", "n8n-nodes-base"))["nodes"]:
        asks = node["parameters"]
        headers = {one["name"]: fill(one["value"]) for one in asks.get("headerParameters", {}).get("parameters", ())}
        body = json.loads(fill(asks["jsonBody"])) if asks.get("sendBody") else None
        answers[node["name"]] = _ask(asks.get("method", "GET"), fill(asks["url"]), headers=headers, json=body)
    return str(answers["Run"]["id"])


def _ask(method: str, url: str, **more: Any) -> Any:
    """The answer to a request; as its node is set, it is sent again when the server is busy."""
    give_up = time.monotonic() + 240
    while (reply := httpx2.request(method, url, timeout=240, **more)).status_code == 503:
        assert time.monotonic() < give_up, reply.text
        time.sleep(1)
    assert reply.is_success, reply.text
    return reply.json()


def make_deployment(api_url: str, password: str = "") -> UUID:
    """The deployment `content-batch/http` alone, as `callsheet deploy` makes it."""
    used = {PREFECT_API_URL: api_url, PREFECT_API_AUTH_STRING: password or None}
    schema = parameter_schema(content_batch).model_dump()
    with temporary_settings(used), get_client(sync_client=True) as client:
        flow = client.create_flow(content_batch)
        return client.create_deployment(
            flow, "http", parameters={"live": False}, parameter_openapi_schema=schema, enforce_parameter_schema=True
        )


@dataclass
class Started:
    """Runs that were started and carried out, by name, and what the webhook was sent."""

    team: Cli
    runs: dict[str, FlowRun]
    twice: list[str]
    hook: PlainServer
    service: Service


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, prefect_url: str, forge: Forge) -> Iterator[Started]:
    """Orders by every recipe, sound and unsound ones, carried out in one process as a worker would."""
    folder = tmp_path_factory.mktemp("orders") / "team"
    folder.mkdir()
    (folder / "sheet.csv").write_text("id,prompt,takes\nkite,A kite,1\n")
    deployment = make_deployment(prefect_url)
    service = start_service(folder.parent / "service", factor=60, latency={"image": 0, "video": 20})
    with pytest.MonkeyPatch.context() as patch, plain_server(Answer(204, b"")) as hook:
        url = f"{hook.url}/hook"
        team = Cli(folder, {"PREFECT_API_URL": prefect_url}, forge)
        with ThreadPoolExecutor(3) as pool:
            asked = list(pool.map(lambda _: start_by_curl(prefect_url, "order-1"), range(3)))
        assert [one.returncode for one in asked] == [0, 0, 0], [one.stderr for one in asked]
        twice = [one.stdout.strip() for one in asked]
        start = lambda *order: start_by_function(patch, prefect_url, *order)  # noqa: E731
        ids = {
            "curl": twice[0],
            "n8n": start_by_n8n(prefect_url),
            "function": start("order-2", ROWS, url),
            "bad rows": start("order-3", [{"id": "a", "prompt": "x", "takes": "many"}], url),
            "their file": start("order-4", [{**ROWS[0], "reference_images": "/etc/passwd"}], url),
            "their host": start("order-5", ROWS, "http://localhost:1/hook"),
            "nothing": start("order-6", None, url),
            "address": start("order-7", None, url),
        }
        with temporary_settings({PREFECT_API_URL: prefect_url}), get_client(sync_client=True) as client:
            run = client.read_flow_run(UUID(ids["address"]))
            client.update_flow_run(run.id, parameters={**run.parameters, "manifest": "sheet.csv"})
            env = {
                **os.environ,
                **team.env,
                "GOOGLE_GEMINI_BASE_URL": service.url,
                "CALLSHEET_WEBHOOK_HOSTS": '["127.0.0.1"]',
                "CALLSHEET_WEBHOOK_SECRET": SECRET,
            }
            process = forge.start(list(ids.values()), folder, env, main="tests.support.scheduled:main")
            stdout, stderr = process.communicate(timeout=800)
            assert process.returncode == 0, f"{stdout}\n{stderr}"
            assert SECRET not in stdout + stderr
            runs = {name: client.read_flow_run(UUID(run)) for name, run in ids.items()}
            yield Started(team, runs, twice, hook, service)
            with contextlib.suppress(ObjectNotFound):  # another test's fixture may have removed all of them
                client.delete_deployment(deployment)
    service.process.terminate()
    service.process.wait(timeout=120)


def messages(started: Started) -> dict[str, dict[str, Any]]:
    """The messages by batch; each is genuine by the recipe of the page."""
    names: dict[str, Any] = {}
    exec(recipe("python", "def is_genuine"), names)  # noqa: S102  the recipe itself
    found = {}
    for (_, path, headers), body in zip(started.hook.asked, started.hook.bodies, strict=True):
        plain = {name.lower(): value for name, value in headers.items()}
        plain["webhook-timestamp"] = plain["webhook-timestamp"]
        assert path == "/hook"
        assert names["is_genuine"](SECRET, plain, body)
        assert not names["is_genuine"](SECRET, plain, body + b" ")
        assert not names["is_genuine"](SECRET, {**plain, "webhook-timestamp": "1"}, body)
        told = json.loads(body)
        assert told["data"]["batch"] not in found
        found[told["data"]["batch"]] = told
    return found


def test_same_key_is_the_same_run_even_at_once(started: Started) -> None:
    assert len(set(started.twice)) == 1
    assert started.service.counts()["accepted"]["image"] == 2 + 1 + 1 + 1


def test_rows_become_the_batchs_archived_manifest_which_resume_reads(started: Started) -> None:
    run = started.runs["curl"]
    assert (run.name, run.state_name) == ("shop.order-1.rehearsal", "Completed")
    assert run.parameters["rows"] is None
    archived = Path(run.parameters["manifest"])
    assert archived.parent == started.team.home.absolute() / "archive" / "shop" / "shop.order-1.rehearsal"
    assert "hand-thrown" in archived.read_text()

    async def again() -> Any:
        settings = load_settings(home=started.team.home)
        async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
            (row,) = [one for one in await ledger.batches() if one.batch.name == run.name]
        return await continuation(row, settings)

    assert asyncio.run(again()).request.manifest == str(archived)
    verified = started.team("archive", "verify", run.name, "--json")
    assert verified.exit_code == 0, verified.stdout


def test_n8n_and_a_function_start_batches_too(started: Started) -> None:
    assert started.runs["n8n"].name == "shop.order-77.rehearsal"
    assert {started.runs[name].state_name for name in ("n8n", "function", "address")} == {"Completed"}


def test_webhook_tells_how_each_run_ended(started: Started) -> None:
    told = messages(started)
    done = told["shop.order-2.rehearsal"]
    assert (done["type"], done["data"]["exit_code"], done["data"]["shots"]["done"]) == ("batch.done", 0, 1)
    failed = told["shop.order-3.rehearsal"]
    assert failed["type"] == "batch.failed"
    assert "rows.csv:2: takes" in failed["data"]["message"]
    assert "reference_images" in told["shop.order-4.rehearsal"]["data"]["message"]
    assert "manifest, or rows" in told["shop.order-6.rehearsal"]["data"]["message"]
    assert "shop.order-5.rehearsal" not in told, "its webhook is of a host that is not on the list"


def test_unsound_requests_fail_and_make_nothing(started: Started) -> None:
    unsound = ("bad rows", "their file", "their host", "nothing")
    assert {started.runs[name].state_name for name in unsound} == {"Failed"}
    assert "CALLSHEET_WEBHOOK_HOSTS" in (started.runs["their host"].state.message or "")  # type: ignore[union-attr]
    batches = {path.name for path in (started.team.home / "archive" / "shop").iterdir()}
    assert batches == {f"shop.order-{n}.rehearsal" for n in (1, 2, 7, 77)}


@pytest.mark.slow
def test_recipe_works_on_a_server_with_a_password_and_on_no_other_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", PASSWORD)
    settings = load_settings(home=tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    api_url = ensure_server(settings, port).api_url
    try:
        deployment = make_deployment(api_url, PASSWORD)
        first, again = start_by_curl(api_url, "order-1", PASSWORD), start_by_curl(api_url, "order-1", PASSWORD)
        assert first.returncode == 0, first.stderr
        assert first.stdout == again.stdout
        assert httpx2.get(f"{api_url}/csrf-token?client=a", timeout=240).status_code == 401
        refused = start_by_curl(api_url, "order-1")
        assert refused.returncode != 0, refused.stdout
        auth = tuple(PASSWORD.split(":"))
        create = f"{api_url}/deployments/{deployment}/create_flow_run"
        assert httpx2.post(create, json={}, auth=auth, timeout=120).status_code == 403, "no token"
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", PASSWORD)
        assert start_by_function(monkeypatch, api_url, "order-1", ROWS) == first.stdout.strip()
    finally:
        stop_server(settings)
