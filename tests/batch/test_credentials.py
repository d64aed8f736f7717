"""What can be made is made: credentials are judged per shot, by plan and run alike, over real HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callsheet.batch.open import open_run
from callsheet.batch.pipeline import run_pipeline
from callsheet.batch.request import RunRequest
from callsheet.batch.shards import end_shard, open_shard
from callsheet.batch.start import open_batch, set_aside
from callsheet.errors import SettingsError
from callsheet.models import load_catalogue
from callsheet.plan.grouping import Shard
from callsheet.providers.access import Way, access_to
from callsheet.providers.routing import choose_route
from callsheet.settings import load_settings
from tests.support.cli import Cli, Ran
from tests.support.service import Service, start_service
from tests.support.whole_batch import whole_batch

# Two models that only a Gemini API key leads to, beside the built-in ones that an express key leads to as well.
CATALOGUE = """models:
  key-picture: {inherits: gemini-3.1-flash-lite-image, name: Of a key, platforms: [gemini_api]}
  key-video: {inherits: veo-3.1-fast-generate-001, name: Of a key, platforms: [gemini_api]}
"""
SHEET = """id,prompt,image_model,video_model,takes,motion_prompt,duration_s,select
still,A cup,,,1,,,
whole,A boat,,veo-3.1-fast-generate-001,1,It drifts,4,
half,A kite,,key-video,1,It rises,4,
none,A bell,key-picture,,1,,,
asked,A door,,key-video,1,It opens,4,approve
"""
GEMINI = {"GEMINI_API_KEY": "dummy-key-1"}
EXPRESS = {"CALLSHEET_AGENT_PLATFORM_API_KEY": "dummy-key-2"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A server that has the two models as well."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "models.yaml").write_text(CATALOGUE)
    latency = {"image": 0, "video": 20}
    served = start_service(folder / "state", factor=60, latency=latency, catalogue=str(folder / "models.yaml"))
    yield served
    served.process.terminate()
    served.process.wait(timeout=120)


def run(cli: Cli, service: Service | None, keys: dict[str, str], *command: str) -> Ran:
    (cli.folder / "sheet.csv").write_text(SHEET)
    (cli.folder / "models.yaml").write_text(CATALOGUE)
    urls = {"GOOGLE_GEMINI_BASE_URL": service.url, "GOOGLE_VERTEX_BASE_URL": service.url} if service else {}
    given = command or ("run", "sheet.csv", "--live", "--yes", "--json")
    return cli(*given, CALLSHEET_CATALOGUE="models.yaml", **urls, **keys)


def states(cli: Cli) -> dict[str, str]:
    return {shot: sidecar["state"] for shot, sidecar in sidecars(cli).items()}


def sidecars(cli: Cli) -> dict[str, Any]:
    found = (json.loads(one.read_text()) for one in (cli.home / "archive").rglob("shot.json"))
    return {sidecar["shot"]: sidecar for sidecar in found}


def test_without_any_credentials_a_run_ends_with_2_and_says_how_to_get_a_key(lean_cli: Cli, service: Service) -> None:
    ran = run(lean_cli, service, {})
    assert (ran.exit_code, "https://aistudio.google.com/apikey" in ran.stderr) == (2, True), ran.stderr
    assert all(word in ran.stderr for word in ("GEMINI_API_KEY", "key-video", "Nothing was sent"))
    assert not list(lean_cli.home.rglob("manifest*"))
    plan = run(lean_cli, service, {}, "plan", "sheet.csv", "--live", "--json")
    assert (plan.exit_code, plan.json["images"], plan.json["usd_low"] > 0) == (0, {"create": 5}, True)
    assert "There are no credentials at all" in plan.stderr


def test_what_has_a_route_is_made_and_the_rest_goes_on_with_a_key(lean_cli: Cli, service: Service) -> None:
    planned = run(lean_cli, service, EXPRESS, "plan", "sheet.csv", "--live", "--json")
    first = planned.stderr.lstrip().splitlines()[0]
    assert first.startswith("Cannot be finished, and will be parked: half, asked. ")
    assert "GEMINI_API_KEY" in first
    cut_off = {shot for each in planned.json["cut_off"] for shot in each["shots"]}
    assert cut_off == {"half", "none", "asked"}
    assert (planned.json["images"], planned.json["videos"]) == (
        {"create": 4, "parked": 1},
        {"create": 1, "parked": 1, "waiting": 1},
    )
    ran = run(lean_cli, service, EXPRESS)
    assert (ran.exit_code, ran.json["submissions"]) == (4, {"image": 4, "video": 1}), ran.stderr
    assert "parked: half, asked. " in ran.stderr
    assert states(lean_cli) == {
        "still": "done", "whole": "done", "half": "parked", "none": "parked", "asked": "waiting",
    }  # fmt: skip
    told = sidecars(lean_cli)["half"]["failures"]
    assert [(one["kind"], one["slot"]) for one in told] == [("RouteMissing", "clip-1")]
    assert all(word in told[0]["message"] for word in ("key-video", "GEMINI_API_KEY"))
    status = lean_cli("status", "sheet.live", "--json").json
    assert {job["model"] for job in status["parked"]} == {"key-picture", "key-video"}
    assert run(lean_cli, service, EXPRESS).json["submissions"] == {"image": 0, "video": 0}
    again = run(lean_cli, service, {**GEMINI, **EXPRESS})
    assert (again.exit_code, again.json["submissions"]) == (5, {"image": 1, "video": 1}), again.stderr
    assert states(lean_cli) | {"asked": "waiting"} == {**dict.fromkeys(states(lean_cli), "done"), "asked": "waiting"}


@pytest.mark.long
@pytest.mark.parametrize(
    ("keys", "url", "parked"),
    [
        (GEMINI, "", {"whole"}),
        (GEMINI, "gateway", set()),
        (EXPRESS, "", {"half", "none", "asked"}),
        ({"GOOGLE_CLOUD_PROJECT": "p"}, "", {"half", "none", "asked"}),
        ({**GEMINI, "GOOGLE_CLOUD_PROJECT": "p"}, "", set()),
        ({**GEMINI, "GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_APPLICATION_CREDENTIALS": "nowhere.json"}, "", {"whole"}),
    ],
)
def test_a_plan_parks_what_these_credentials_cannot_make(
    lean_cli: Cli, keys: dict[str, str], url: str, parked: set[str]
) -> None:
    urls = {"GOOGLE_GEMINI_BASE_URL": "https://gateway.example"} if url else {}
    planned = run(lean_cli, None, {**keys, **urls}, "plan", "sheet.csv", "--live", "--json")
    assert planned.exit_code == 0, planned.stderr
    assert {shot for each in planned.json["cut_off"] for shot in each["shots"]} == parked
    if "GOOGLE_APPLICATION_CREDENTIALS" in keys:
        assert "nowhere.json, which is not a file" in planned.json["cut_off"][0]["why"]


@pytest.mark.long
def test_the_question_before_spending_names_the_shots_that_cannot_be_finished(cli: Cli, service: Service) -> None:
    (cli.folder / "sheet.csv").write_text(SHEET)
    (cli.folder / "models.yaml").write_text(CATALOGUE)
    ours, theirs = pty.openpty()
    urls = {"GOOGLE_GEMINI_BASE_URL": service.url, "GOOGLE_VERTEX_BASE_URL": service.url}
    done = subprocess.Popen(
        [sys.executable, "-c", "from callsheet.cli.main import main; main()", "run", "sheet.csv", "--live"],
        cwd=cli.folder, env={**os.environ, **cli.env, **EXPRESS, **urls, "CALLSHEET_CATALOGUE": "models.yaml"},
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.write(ours, b"n\n")
    _, told = done.communicate(timeout=240)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 2
    assert "(3 of 5 shots cannot be finished: half, asked, none)" in told.replace("\n", "")


def settings_of(folder: Path, service: Service, **keys: Any) -> Any:
    (folder / "sheet.csv").write_text(SHEET)
    (folder / "models.yaml").write_text(CATALOGUE)
    urls = {"gemini_base_url": service.url, "vertex_base_url": service.url}
    return load_settings(home=folder / "home", catalogue=folder / "models.yaml", **urls, **keys)


def test_a_deployed_run_without_credentials_enters_nothing(tmp_path: Path, service: Service) -> None:
    settings = settings_of(tmp_path, service)
    with pytest.raises(SettingsError, match="A live run needs credentials"):
        asyncio.run(whole_batch(RunRequest(str(tmp_path / "sheet.csv"), live=True), settings))
    assert not list(tmp_path.glob("home/archive/*"))


def test_a_shard_on_a_machine_without_a_key_parks_its_own_shots(tmp_path: Path, service: Service) -> None:
    request = RunRequest(str(tmp_path / "sheet.csv"), live=True)
    whole = settings_of(tmp_path, service, gemini_api_key="dummy-key-1", agent_platform_api_key="dummy-key-2")
    worker = settings_of(tmp_path, service, agent_platform_api_key="dummy-key-2")

    async def work() -> dict[str, object]:
        async with open_run(request, whole) as (run, asked):
            await open_batch(run, asked)
        shard = Shard(3, 4, asked.manifest.sha256)
        async with open_run(RunRequest(request.manifest, live=True, shard=shard), worker) as (run, part):
            plan = await open_shard(run, part.manifest, shard)
            await run_pipeline(run, await set_aside(run, plan))
            return await end_shard(run, plan)

    ended = asyncio.run(work())
    assert (ended["exit_code"], ended["shots"]) == (4, {"total": 2, "done": 0, "parked": 2})


QUOTED = '"AQ.a-key-in-quotation-marks"'


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"GEMINI_API_KEY": QUOTED}, "GEMINI_API_KEY holds quotation marks"),
        ({"GOOGLE_API_KEY": "AQ.a key in two parts"}, "GOOGLE_API_KEY holds quotation marks, spaces"),
        ({"GEMINI_API_KEY": "/home/me/key.txt"}, "GEMINI_API_KEY holds a path"),
        ({"GEMINI_API_KEY": "C:\\keys\\gemini"}, "GEMINI_API_KEY holds a path"),
        ({"CALLSHEET_AGENT_PLATFORM_API_KEY": "account.json"}, "CALLSHEET_AGENT_PLATFORM_API_KEY holds a path"),
        ({"GEMINI_API_KEY": "", "GOOGLE_API_KEY": "  ", "GOOGLE_CLOUD_PROJECT": " "}, ""),
        ({"CALLSHEET_AGENT_PLATFORM_API_KEY": "\n", "GOOGLE_APPLICATION_CREDENTIALS": ""}, ""),
    ],
)
def test_what_cannot_be_a_key_is_no_credential_and_is_told(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], told: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    access = access_to(load_settings(), "live")
    assert (access.has_any, access.project, access.project_fault) == (False, None, "")
    with pytest.raises(SettingsError, match="No credentials for video model") as refused:
        choose_route(load_catalogue().get("gemini-omni-1.2-flash"), access)
    assert told in str(refused.value)
    assert not any(value in str(refused.value) for value in given.values() if len(value.strip()) > 2)


def test_spaces_around_a_key_are_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", " ")
    monkeypatch.setenv("GEMINI_API_KEY", " AQ.a-key/with+signs== \r\n")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "")
    settings = load_settings()
    access = access_to(settings, "live")
    assert (settings.gemini_key_variable, settings.has_two_keys, access.location) == (
        "GEMINI_API_KEY",
        False,
        "us-central1",
    )
    assert access.has_any
    assert access.signature(Way.GEMINI) == {"x-goog-api-key": "AQ.a-key/with+signs=="}


@pytest.mark.long
def test_a_key_in_quotation_marks_ends_as_none_does(lean_cli: Cli, service: Service) -> None:
    odd = {"GEMINI_API_KEY": QUOTED, "GOOGLE_CLOUD_PROJECT": "", "CALLSHEET_AGENT_PLATFORM_API_KEY": "  "}
    plan = run(lean_cli, service, odd, "plan", "sheet.csv", "--live")
    assert plan.exit_code == 0, plan.stderr
    ran = run(lean_cli, service, odd)
    assert ran.exit_code == 2, ran.stderr
    for said in (plan.stdout + plan.stderr, ran.stderr):
        said = " ".join(said.split())
        assert all(
            word in said for word in ("https://aistudio.google.com/apikey", "GEMINI_API_KEY holds quotation marks")
        )
        assert "quotation-marks" not in said
    some = run(lean_cli, service, {**odd, **EXPRESS})
    assert (some.exit_code, some.json["submissions"]) == (4, {"image": 4, "video": 1}), some.stderr
    assert "GEMINI_API_KEY holds quotation marks" in sidecars(lean_cli)["half"]["failures"][0]["message"]
