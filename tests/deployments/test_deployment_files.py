"""The files in deployments/ agree with Prefect, with the flows and with each other."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from prefect import Flow
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ParameterTypeError
from prefect.settings import Settings
from prefect.settings.legacy import _get_valid_setting_names
from prefect_redis.cleanup_queue import RedisWorkerCleanupQueueSettings
from prefect_redis.client import RedisMessagingSettings
from ruamel.yaml import YAML

from callsheet.batch.prepare import read_request
from callsheet.batch.request import PLACEHOLDERS, RunRequest
from callsheet.batch.spot import SpotRequest
from callsheet.errors import ServiceError, SettingsError
from callsheet.orchestration.automations import HEARTBEAT_S, WATCHED
from callsheet.orchestration.deploy import plain
from callsheet.orchestration.own_packages import shipped
from callsheet.orchestration.server_settings import check_modules, read_env, server_env, server_environment
from callsheet.orchestration.shard_runs import DEPLOYMENT
from callsheet.orchestration.work_pools import DEFAULTS, HOME, PoolType, template_of, with_defaults
from callsheet.settings import load_settings
from flows.assemble import assemble
from tests.support.paths import ROOT

FOLDER = ROOT / "deployments"
FILE: dict[str, Any] = YAML(typ="safe").load((FOLDER / "prefect.yaml").read_text())
DEPLOYMENTS: list[dict[str, Any]] = FILE["deployments"]
PINNED = re.compile(r"^([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?==(\S+)", re.MULTILINE)


def flow_of(deployment: dict[str, Any]) -> Flow[..., Any]:
    module, _, name = deployment["entrypoint"].rpartition(".")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, Flow)
    return found


def every_setting() -> dict[str, str]:
    """What server.env sets, and what it shows as a comment to be set."""
    text = (FOLDER / "server.env").read_text()
    return {**read_env(re.sub(r"^#(?=[A-Z_]+=)", "", text, flags=re.MULTILINE)), **server_env()}


def test_every_setting_of_the_server_is_one_that_prefect_knows() -> None:
    known = {name.upper() for name in _get_valid_setting_names(Settings)}
    redis = {f"PREFECT_REDIS_MESSAGING_{name.upper()}" for name in RedisMessagingSettings.model_fields}
    redis |= {f"PREFECT_REDIS_WORKER_CLEANUP_QUEUE_{n.upper()}" for n in RedisWorkerCleanupQueueSettings.model_fields}
    assert set(every_setting()) - known - redis - {"DO_NOT_TRACK"} == set()


def test_every_store_in_redis_is_told_where_redis_is() -> None:
    """Each reads its own settings, and asks localhost when it finds none."""
    given = every_setting()
    for module, name in (("messaging", "MESSAGING"), ("cleanup_queue", "WORKER_CLEANUP_QUEUE")):
        assert f"prefect_redis.{module}" in given.values()
        assert given[f"PREFECT_REDIS_{name}_URL"].startswith("redis://redis.example")


def test_every_module_that_the_servers_settings_name_is_there() -> None:
    for value in every_setting().values():
        if value.startswith(("prefect.", "prefect_redis.")):
            importlib.import_module(value)
    with pytest.raises(ServiceError, match=r"callsheet\[redis\]"):
        check_modules({"PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "prefect_of_nobody.messaging"})


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE"
    assert server_environment(tmp_path, "http://x/api")[name] == server_env()[name]
    monkeypatch.setenv(name, "7")
    monkeypatch.setenv("PREFECT_UI_API_URL", "http://studio.example/api")
    monkeypatch.setenv("PREFECT_HOME", "/elsewhere")
    given = server_environment(tmp_path, "http://x/api")
    assert (given[name], given["PREFECT_UI_API_URL"]) == ("7", "http://studio.example/api")
    assert (given["PREFECT_API_URL"], given["PREFECT_HOME"]) == ("http://x/api", str(tmp_path))


def test_a_line_that_is_no_setting_is_told_with_its_number() -> None:
    with pytest.raises(SettingsError, match=r"Line 2 .*'PREFECT_X'"):
        read_env("# why\nPREFECT_X\n")


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["name"])
def test_a_deployment_fits_its_flow(deployment: dict[str, Any]) -> None:
    flow, given = flow_of(deployment), deployment.get("parameters", {})
    assert set(given) <= set(flow.parameters.properties)
    if not set(flow.parameters.required) - set(given):
        flow.validate_parameters(given)
    assert deployment["work_pool"]["name"] == "callsheet"
    assert deployment["description"]
    assert deployment["tags"]
    limit = deployment.get("concurrency_limit", {"collision_strategy": "ENQUEUE"})
    assert limit["collision_strategy"] == "ENQUEUE", "a run that has to wait is not lost"


@pytest.mark.parametrize("deployment", [one for one in DEPLOYMENTS if "schedules" in one], ids=lambda one: one["name"])
def test_a_schedule_has_a_time_zone_and_an_edition_that_can_be_filled_in(deployment: dict[str, Any]) -> None:
    for schedule in deployment["schedules"]:
        CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
        ZoneInfo(schedule["timezone"])
        assert schedule["slug"], "by its slug it is updated, not added once more"
    if "manifest" in deployment["parameters"]:
        manifest = deployment["parameters"]["manifest"]
        request = RunRequest(str(ROOT / manifest))
        assert read_request(request, load_settings()).shots
        assert deployment["parameters"]["edition"].strip("{}") in PLACEHOLDERS


@pytest.mark.parametrize("deployment", [one for one in DEPLOYMENTS if one["name"] != "content-shard"])
def test_a_bad_row_stops_nothing_where_nobody_is_there_to_mend_it(deployment: dict[str, Any]) -> None:
    is_batch = "manifest" in flow_of(deployment).parameters.properties
    wanted = "skip" if is_batch and "schedules" in deployment else None
    assert deployment.get("parameters", {}).get("on_bad_row") == wanted


def test_nothing_spends_money_before_somebody_says_so() -> None:
    assert not any(one.get("parameters", {}).get("live") for one in DEPLOYMENTS)


def test_what_is_looked_after_and_what_batches_start_is_deployed() -> None:
    deployed = {f"{flow_of(one).name}/{one['name']}" for one in DEPLOYMENTS}
    assert {name.partition("/")[0] for name in deployed} >= set(WATCHED)
    assert deployed >= {DEPLOYMENT}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["name"])
def test_a_form_asks_in_words(deployment: dict[str, Any]) -> None:
    if deployment["name"] == "content-shard":
        return  # nobody fills it in
    for name, asked in flow_of(deployment).parameters.properties.items():
        assert asked["title"] != name, f"{name} has no title"


def test_the_form_of_a_spot_offers_the_platforms_and_leaves_them_open() -> None:
    asked = plain(assemble.parameters.model_dump(mode="json"))
    platform = asked["properties"]["platform"]
    assert (platform["type"], "anyOf" in platform) == ("string", False)
    assert {"reels", "shorts", "1x1"} <= set(platform["enum"])
    of = next(one for one in asked["definitions"].values() if one["title"] == "Parts of")
    assert all(field["title"] and field["description"] for field in of["properties"].values())

    def filled(**given: object) -> SpotRequest:
        found = assemble.validate_parameters({"of": {"campaign": "spring", "shots": ["b", "a"], "batch": ""}, **given})
        return found["of"].request(found["platform"], found["crossfade_s"], found["name"])

    wanted = SpotRequest(None, "launch", "reels", ("b", "a"), 0.5, "spring")
    assert filled(platform="reels", crossfade_s=0.5, name="launch") == wanted
    assert filled(platform="", crossfade_s=0) == SpotRequest(shots=("b", "a"), campaign="spring")
    for wrong in ({"name": "../x"}, {"name": "x\n"}, {"crossfade_s": 6}):
        with pytest.raises(ParameterTypeError):
            filled(**wrong)


@pytest.mark.parametrize("pool_type", get_args(PoolType))
def test_a_work_pool_has_our_defaults_for_variables_that_it_uses(pool_type: PoolType) -> None:
    template = template_of(pool_type)
    variables = template["variables"]["properties"]
    used = set(re.findall(r"\{\{ ?([a-z_]+) ?\}\}", str(template["job_configuration"])))
    assert used == set(variables) & used
    assert set(DEFAULTS[pool_type]) <= set(variables)
    assert int(variables["env"]["default"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]) == HEARTBEAT_S
    assert {name: variables[name]["default"] for name in DEFAULTS[pool_type]} == DEFAULTS[pool_type]
    if pool_type == "process":
        return
    assert variables["env"]["default"]["CALLSHEET_HOME"] == HOME
    again = with_defaults(pool_type, template_of(pool_type))
    assert again == template, "the file was written by other defaults: python -m callsheet.orchestration.work_pools"


class TestContainer:
    """There is no container engine where the tests run: the file is checked, and its steps are run by hand."""

    @cached_property
    def lines(self) -> list[str]:
        text = (FOLDER / "Containerfile").read_text().replace("\\\n", " ")
        return [" ".join(line.split()) for line in text.splitlines()]

    def test_all_that_is_copied_is_there_and_not_ignored(self) -> None:
        sources = [word for line in self.lines if line.startswith("COPY ") for word in line.split()[1:-1]]
        copied = {word for word in sources if not word.startswith(("--from", "/opt"))}
        kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        assert {word.partition("/")[0] for word in copied} <= kept
        assert [word for word in copied if not (ROOT / word).exists()] == []
        wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
        assert {*wheel["packages"], *wheel["force-include"]} <= copied

    def test_the_linter_has_nothing_to_say(self) -> None:
        linter = Path(sys.executable).with_name("hadolint")
        done = subprocess.run([linter, FOLDER / "Containerfile"], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "")

    def test_dependencies_come_from_the_lock_file_by_hash_and_from_nowhere_else(self) -> None:
        installs = [line for line in self.lines if "pip install" in line]
        assert len(installs) == 2
        assert installs[0].endswith("--no-deps --require-hashes --requirement requirements.lock")
        assert "--no-deps --no-build-isolation ." in installs[1]

    def test_the_images_lock_is_a_part_of_the_developers(self) -> None:
        locks = (FOLDER / "requirements.lock", ROOT / "requirements.lock")
        image, all_of_it = (dict(PINNED.findall(path.read_text())) for path in locks)
        assert image.items() <= all_of_it.items()
        assert {"prefect", "hatchling", "psycopg", "prefect-redis", "c2pa-python"} <= set(image)
        assert not {"pytest", "ruff", "selenium", "mypy"} & set(image)

    def test_it_runs_as_nobody_in_particular_and_keeps_its_home(self) -> None:
        assert "USER 10001" in self.lines
        assert f"VOLUME {HOME}" in self.lines
        assert not any("latest" in line for line in self.lines if line.startswith("FROM"))


def test_the_data_is_in_the_package() -> None:
    for name in ("server.env", "prefect.yaml", "work_pools/docker.json"):
        assert shipped("deployments").joinpath(name).is_file()
