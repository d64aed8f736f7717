"""However a rehearsal is started (form, deployment, shard, collect), a gateway in the service's place gets nothing."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from callsheet.errors import CallsheetError
from tests.support.gateways import as_google, gateway
from tests.support.left_behind import SHEET, leave_behind, request_in, settings_at
from tests.support.paths import ROOT
from tests.support.service import Service

# What each flow that may send is given. An approval goes on by content-batch, cuts are opened without a provider.
GIVEN: dict[str, dict[str, Any]] = {
    "content_batch": {"manifest": "{sheet}"},
    "content_shard": {"manifest": "{sheet}", "first": 1, "last": 1, "revision": "{revision}"},
    "collect": {},
}
OF_NO_REQUESTS = {"approve_frames", "assemble", "social_cuts", "spend_report"}


def entrypoints() -> dict[str, str]:
    """The flows that are deployed, by the name of their function."""
    deployed = YAML(typ="safe").load((ROOT / "deployments" / "prefect.yaml").read_text())["deployments"]
    return {one["entrypoint"].rpartition(".")[2]: one["entrypoint"] for one in deployed}


def test_every_deployed_flow_is_thought_of_here() -> None:
    assert entrypoints().keys() == GIVEN.keys() | OF_NO_REQUESTS


@pytest.mark.long
@pytest.mark.parametrize("name", GIVEN)
async def test_rehearsal_started_by_a_deployment_at_a_gateway_sends_nothing(
    name: str, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, request = settings_at(service, tmp_path), request_in(tmp_path)
    await leave_behind(request, settings)
    before = service.counts()["accepted"]
    told = {"sheet": request.manifest, "revision": hashlib.sha256(SHEET.encode()).hexdigest()}
    given = {key: value.format(**told) if isinstance(value, str) else value for key, value in GIVEN[name].items()}
    module, _, function = entrypoints()[name].rpartition(".")
    flow = getattr(importlib.import_module(module.removesuffix(".py").replace("/", ".")), function)
    with gateway(as_google) as server:
        monkeypatch.setenv("CALLSHEET_HOME", str(settings.home))
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        monkeypatch.setenv("GEMINI_API_KEY", "real")
        with pytest.raises(CallsheetError, match="cannot prove that it is"):
            await flow.fn(**given)
    assert server.posts == []
    assert service.counts()["accepted"] == before
