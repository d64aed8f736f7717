"""Flows that are started by hand are those that are deployed, and a run's request is packed in one place."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect import Flow
from ruamel.yaml import YAML

from callsheet.batch.request import RunRequest
from callsheet.manifest.left_out import ON_BAD_ROW
from callsheet.orchestration import local_server
from callsheet.orchestration.run_parameters import parameters_of, request_from
from callsheet.plan.grouping import Shard
from flows.content_batch import content_batch
from flows.content_shard import content_shard
from tests.support.paths import ROOT

NAMES = st.text("abz-", min_size=1, max_size=3)
DEPLOYED = YAML(typ="safe").load((ROOT / "deployments" / "prefect.yaml").read_text())["deployments"]
# What a request is sent without, as before callsheet knew it.
UNSAID = {"rows": None, "webhook": None, "on_bad_row": "stop"}
MODULES = sorted(path.stem for path in (ROOT / "flows").glob("[a-z]*.py"))


@contextmanager
def no_server() -> Iterator[None]:
    yield


@pytest.mark.parametrize("module", MODULES)
def test_flow_served_by_hand_has_name_schedule_and_parameters_of_its_deployment(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(Flow, "serve", lambda flow, **given: served.append((flow.name, given)))
    monkeypatch.setattr(local_server, "local_server", no_server)
    runpy.run_module(f"flows.{module}", run_name="__main__")
    [(flow, given)] = served
    [deployed] = [one for one in DEPLOYED if one["name"] == given["name"]]
    assert (deployed["entrypoint"], flow) == (f"callsheet.orchestration.deployed.{module}", module.replace("_", "-"))
    assert given.get("parameters", {}) == deployed.get("parameters", {})
    assert given.get("global_limit") == deployed.get("concurrency_limit", {}).get("limit")
    schedule = given.get("schedule")
    wanted = [(one["cron"], one["timezone"], one["slug"]) for one in deployed.get("schedules", [])]
    assert ([(schedule.cron, schedule.timezone, schedule.slug)] if schedule else []) == wanted


@given(
    st.builds(
        RunRequest,
        manifest=NAMES,
        live=st.booleans(),
        edition=st.none() | NAMES,
        campaign=st.none() | NAMES,
        variables=st.dictionaries(NAMES, NAMES, max_size=2),
        budget_usd=st.none() | st.decimals(0, 10_000, places=2),
        remake=st.booleans(),
        wait=st.booleans(),
        only=st.lists(NAMES, max_size=2).map(tuple),
        free=st.booleans(),
        plan=st.none() | NAMES,
        on_bad_row=st.sampled_from(ON_BAD_ROW),
    )
)
def test_request_comes_back_from_the_parameters_of_its_flow(request_: RunRequest) -> None:
    parameters = parameters_of(request_)
    assert content_batch.validate_parameters(parameters) == {**UNSAID, **parameters}
    assert request_from(parameters) == request_


def test_request_for_a_shard_has_the_parameters_of_content_shard() -> None:
    request = RunRequest("a.csv", budget_usd=Decimal("2.5"), wait=True, shard=Shard(1, 500, "0" * 64))
    usual = {"on_bad_row": "stop"}
    for asked in (request, replace(request, on_bad_row="skip")):
        assert content_shard.validate_parameters(parameters_of(asked)) == {**usual, **parameters_of(asked)}
        assert request_from(parameters_of(asked)) == asked
    assert "on_bad_row" not in parameters_of(request), "a deployment of before has no such parameter"
