"""The default video model and its route: resolved once for a batch, by its credentials, and kept for ever."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callsheet.batch.prepare import prepare_again, prepare_run
from callsheet.batch.request import RunRequest, as_begun, as_new, record_defaults
from callsheet.errors import SettingsError
from callsheet.models import load_catalogue
from callsheet.settings import Settings, load_settings
from tests.support.cli import Cli, Ran
from tests.support.service import Service, start_service
from tests.support.whole_batch import whole_batch, whole_prepared

# Stands for a model that a Gemini API key leads to, whatever the real one is.
CATALOGUE = """default_video_with_key: key-video
models:
  key-video: {inherits: veo-3.1-fast-generate-001, name: Of a key, platforms: [gemini_api, agent_platform]}
"""
VEO = "veo-3.1-fast-generate-001"
SHEET = "id,prompt,motion_prompt,duration_s\ncup,A cup,Steam,4\n"
KEY = {"GEMINI_API_KEY": "dummy-key-1"}
EXPRESS = {"CALLSHEET_AGENT_PLATFORM_API_KEY": "dummy-key-2"}
NONE: dict[str, str] = {}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "models.yaml").write_text(CATALOGUE)
    latency = {"image": 0, "video": 20}
    served = start_service(folder / "state", factor=60, latency=latency, catalogue=str(folder / "models.yaml"))
    yield served
    served.process.terminate()
    served.process.wait(timeout=120)


def call(cli: Cli, service: Service, keys: dict[str, str], *command: str, sheet: str = SHEET, **env: str) -> Ran:
    (cli.folder / "sheet.csv").write_text(sheet)
    (cli.folder / "models.yaml").write_text(CATALOGUE)
    urls = {"GOOGLE_GEMINI_BASE_URL": service.url, "GOOGLE_VERTEX_BASE_URL": service.url}
    given = {"CALLSHEET_CATALOGUE": "models.yaml", **urls, **keys, **env}
    return cli(command[0], "sheet.csv", *command[1:], "--json", **given)


def videos(plan: Ran) -> set[tuple[str, str]]:
    return {
        (action["model"], action["route"])
        for shot in plan.json["shots"]
        for action in shot["actions"]
        if action["kind"] == "video"
    }


@pytest.mark.parametrize(
    ("keys", "model", "route"),
    [
        (NONE, VEO, None),
        ({"gemini_api_key": "k"}, "key-video", "gemini_api"),
        ({"gemini_api_key": "k", "gemini_base_url": "https://gateway.example"}, "key-video", "gemini_api"),
        ({"gemini_api_key": "k", "agent_platform_api_key": "e"}, VEO, "agent_platform"),
        ({"gemini_api_key": "k", "google_cloud_project": "p"}, VEO, "agent_platform"),
        ({"google_cloud_project": "p"}, VEO, "agent_platform"),
        ({"gemini_api_key": "k", "gemini_base_url": "not a url"}, VEO, None),
    ],
)
def test_the_default_follows_the_credentials(tmp_path: Path, keys: Any, model: str, route: str | None) -> None:
    (tmp_path / "models.yaml").write_text(CATALOGUE)
    catalogue = as_new(load_catalogue(tmp_path / "models.yaml"), load_settings(home=tmp_path, **keys))
    record = json.loads(json.dumps(record_defaults(catalogue, [])))
    assert (record["models"]["video"], record["video_route"]) == (model, route)
    assert as_begun(load_catalogue(tmp_path / "models.yaml"), record).get(model).begun_on == route


def test_who_names_a_default_in_a_catalogue_of_their_own_gets_it(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text("default_video: veo-3.1-generate-001\n")
    settings = load_settings(home=tmp_path, gemini_api_key="k", gemini_base_url="https://gateway.example")
    catalogue = as_new(load_catalogue(tmp_path / "models.yaml"), settings)
    assert (catalogue.default_video, catalogue.default_video_with_key) == ("veo-3.1-generate-001", None)


@pytest.mark.parametrize("record", [{"video_route": 7}, {"video_route": "elsewhere"}, {"video_route": ["gemini_api"]}])
def test_a_route_that_cannot_be_read_binds_nothing(record: dict[str, object]) -> None:
    assert as_begun(load_catalogue(), record) == load_catalogue()


@pytest.mark.long
@pytest.mark.parametrize("home", ["same ledger", "other ledger"])
@pytest.mark.quick_cases("other ledger")
def test_another_process_keeps_to_the_recorded_route_or_parks(lean_cli: Cli, service: Service, home: str) -> None:
    archive = str(lean_cli.folder / "shared")
    here = {"CALLSHEET_ARCHIVE": archive, "CALLSHEET_HOME": str(lean_cli.folder / "here")}
    there = here | ({"CALLSHEET_HOME": str(lean_cli.folder / "there")} if home == "other ledger" else {})
    planned = call(lean_cli, service, KEY, "plan", "--live", **here)
    assert videos(planned) == {("key-video", "Gemini API with a key")}
    begun = call(lean_cli, service, KEY, "run", "--live", "--yes", **here)
    assert (begun.exit_code, begun.json["submissions"]) == (0, {"image": 1, "video": 1}), begun.stderr
    more = SHEET + "boat,A boat,It drifts,4\n"
    plan = call(lean_cli, service, EXPRESS, "plan", "--live", sheet=more, **there)
    assert plan.json["cut_off"][0]["shots"] == ["boat"], plan.stdout
    assert "with which this batch was begun on the Gemini API: set GEMINI_API_KEY" in plan.json["cut_off"][0]["why"]
    other = call(lean_cli, service, EXPRESS, "run", "--live", "--yes", sheet=more, **there)
    assert (other.exit_code, other.json["submissions"]) == (4, {"image": 1, "video": 0}), other.stderr
    last = call(lean_cli, service, KEY | EXPRESS, "run", "--live", "--yes", sheet=more, **there)
    assert (last.exit_code, last.json["submissions"]) == (0, {"image": 0, "video": 1}), last.stderr
    assert videos(call(lean_cli, service, KEY | EXPRESS, "plan", "--live", sheet=more, **there)) == {
        ("key-video", "Gemini API with a key")
    }
    again = call(lean_cli, service, EXPRESS, "run", "--live", "--yes", sheet=more, **here)
    assert (again.exit_code, again.json["submissions"]) == (0, {"image": 0, "video": 0}), again.stderr


def test_a_rehearsal_takes_what_live_would_take(lean_cli: Cli, service: Service) -> None:
    assert videos(call(lean_cli, service, KEY, "plan")) == {("key-video", "Gemini API")}
    assert videos(call(lean_cli, service, NONE, "plan")) == {(VEO, "Agent Platform")}
    ran = call(lean_cli, service, KEY, "run")
    assert (ran.exit_code, ran.json["submissions"]) == (0, {"image": 1, "video": 1}), ran.stderr
    assert call(lean_cli, service, EXPRESS, "plan").json["videos"] == {"reuse": 1}


@pytest.mark.long
@pytest.mark.parametrize("record", ["default only", "nothing"])
@pytest.mark.quick_cases("nothing")
def test_a_batch_of_before_keeps_its_model_and_pays_nothing_anew(lean_cli: Cli, service: Service, record: str) -> None:
    assert call(lean_cli, service, NONE, "run").exit_code == 0
    with sqlite3.connect(lean_cli.home / "ledger.db") as ledger:
        [[text]] = ledger.execute("SELECT request FROM batches").fetchall()
        kept = {name: value for name, value in json.loads(text).items() if name != "video_route"}
        if record == "nothing":
            kept = {}
        ledger.execute("UPDATE batches SET request = ?", [json.dumps(kept)])
    [plan] = lean_cli.home.rglob("plan.json")
    told = json.loads(plan.read_text())
    names = ("video_route", "models", "model_defaults") if record == "nothing" else ("video_route",)
    plan.write_text(json.dumps({name: value for name, value in told.items() if name not in names}))
    planned = call(lean_cli, service, KEY, "plan")
    assert (planned.json["videos"], videos(planned)) == ({"reuse": 1}, {(VEO, "Agent Platform")}), planned.stdout
    ran = call(lean_cli, service, KEY, "run")
    assert (ran.exit_code, ran.json["submissions"]) == (0, {"image": 0, "video": 0}), ran.stderr


def test_a_plan_names_route_and_price_and_what_else_could_make_it(lean_cli: Cli, service: Service) -> None:
    plan = call(lean_cli, service, EXPRESS, "plan", "--live")
    [picture, clip] = plan.json["models"]
    assert (picture["count"], clip["model"], clip["usd_each"], clip["usd"]) == (1, VEO, 0.4, 0.4)
    found = {(one["how"], one["model"], one["usd_each"]) for one in clip["alternatives"]}
    assert ("cheaper", "veo-3.1-lite-generate-001", 0.2) in found
    assert ("better", "veo-3.1-generate-001", 1.6) in found
    said = plan.stderr.replace("\n", " ")
    assert f"{VEO}, by the Agent Platform with an express key: 1 clip at $0.40 each, $0.40 (cup)" in said
    assert "cheaper: veo-3.1-lite-generate-001, by the Agent Platform with an express key: $0.20 each" in said


def test_no_alternative_is_named_that_the_sheet_names_itself(lean_cli: Cli, service: Service) -> None:
    better = "veo-3.1-generate-001"
    sheet = f"id,prompt,motion_prompt,duration_s,video_model\ncup,A cup,Steam,4,{VEO} | {better}\n"
    [_, clip] = call(lean_cli, service, EXPRESS, "plan", "--live", sheet=sheet).json["models"]
    assert [one["how"] for one in clip["alternatives"] if one["model"] == better] == ["fallback"]


def test_no_alternative_is_named_that_may_not_make_the_shot(lean_cli: Cli, service: Service) -> None:
    sheet = "id,prompt,motion_prompt,duration_s,resolution\ncup,A cup,Steam,8,4k\n"
    [_, clip] = call(lean_cli, service, EXPRESS, "plan", "--live", sheet=sheet).json["models"]
    assert "veo-3.1-lite-generate-001" not in {one["model"] for one in clip["alternatives"]}


@pytest.mark.long
def test_one_key_makes_pictures_and_clips_and_names_omni(lean_cli: Cli, service: Service) -> None:
    """With the built-in catalogue, a key and nothing else, at a server that is not Google's."""
    (lean_cli.folder / "sheet.csv").write_text(SHEET)
    env = {"GOOGLE_GEMINI_BASE_URL": service.url, **KEY}
    plan = lean_cli("plan", "sheet.csv", "--live", "--json", **env)
    assert videos(plan) == {("gemini-omni-1.2-flash", "Gemini API with a key")}, plan.stderr
    done = lean_cli("run", "sheet.csv", "--live", "--yes", "--json", **env)
    assert (done.exit_code, done.json["submissions"]) == (0, {"image": 1, "video": 1}), done.stderr
    [sidecar] = lean_cli.home.rglob("shot.json")
    assert json.loads(sidecar.read_text())["clips"][0]["model"] == "gemini-omni-1.2-flash"
    named = "id,prompt,motion_prompt,duration_s,video_model\ncup,A cup,Steam,4,veo-3.1-fast-generate-001\n"
    (lean_cli.folder / "sheet.csv").write_text(named)
    assert videos(lean_cli("plan", "sheet.csv", "--live", "--json", **env)) == {(VEO, "Gemini API with a key")}


@pytest.mark.long
@pytest.mark.parametrize("where", ["same ledger", "other ledger", "at once"])
async def test_of_two_that_begin_a_batch_the_second_goes_on_with_what_the_first_decided(
    service: Service, tmp_path: Path, where: str
) -> None:
    (tmp_path / "models.yaml").write_text(CATALOGUE)
    (tmp_path / "sheet.csv").write_text(SHEET)
    request = RunRequest(str(tmp_path / "sheet.csv"), live=True)

    def settings(home: str, **keys: str) -> Settings:
        urls = {"gemini_base_url": service.url, "vertex_base_url": service.url}
        archive = str(tmp_path / "archive")
        return load_settings(home=tmp_path / home, archive=archive, catalogue=tmp_path / "models.yaml", **urls, **keys)

    first = settings("home", gemini_api_key="dummy-key-1")
    second = settings("other" if where == "other ledger" else "home", agent_platform_api_key="dummy-key-2")
    prepared = [await prepare_run(request, each) for each in (first, second)]
    assert [each.catalogue.default_video for each in prepared] == ["key-video", VEO]
    if where == "at once":
        ended = [one.summary for one in await asyncio.gather(*map(whole_prepared, prepared))]
        ended.append(
            (await whole_batch(request, settings("home", gemini_api_key="k", agent_platform_api_key="e"))).summary
        )
    else:
        ended = [(await whole_prepared(each)).summary for each in prepared]
    assert ended[-1]["exit_code"] == 0
    assert [sum(one["submissions"][kind] for one in ended) for kind in ("image", "video")] == [1, 1]
    [sidecar] = (tmp_path / "archive").rglob("shot.json")
    models = {clip["model"] for clip in json.loads(sidecar.read_text())["clips"]}
    assert models == ({"key-video"} if where != "at once" else models & {"key-video", VEO})


async def test_a_sheet_that_changes_while_another_process_begins_its_batch_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sheet.csv").write_text(SHEET)
    settings = load_settings(home=tmp_path / "home", archive=str(tmp_path / "archive"))
    asked = await prepare_run(RunRequest(str(tmp_path / "sheet.csv")), settings)
    (tmp_path / "sheet.csv").write_text(SHEET.replace("A cup", "A vase"))
    with pytest.raises(SettingsError, match=r"sheet.csv has changed meanwhile. Nothing was sent"):
        await prepare_again(asked)
