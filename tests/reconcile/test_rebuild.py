"""A lost ledger is rebuilt from the sidecars of its archive, and nothing is paid for again."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.service import Service

SHEET = """id,prompt,takes,seed,motion_prompt,duration_s,cuts
harbour,A harbour at first light,2,7,The boats drift in,4,16x9
cup,A hand-thrown cup,1,8,,,
knife,Something that is refused,1,9,,,
"""


def at(service: Service) -> dict[str, str]:
    return {"GOOGLE_GEMINI_BASE_URL": service.url, "GOOGLE_VERTEX_BASE_URL": service.url}


@pytest.fixture
def made(lean_cli: Cli, service: Service) -> Cli:
    """A batch that is done but for one shot that the service refuses."""
    (lean_cli.folder / "sheet.csv").write_text(SHEET)
    service.script({"match": {"kind": "image", "prompt": "refused"}, "fault": "block"})
    done = lean_cli("run", "sheet.csv", "--json", **at(service))
    assert done.exit_code == 3, done.stderr
    return lean_cli


def lose_ledger(cli: Cli) -> None:
    for path in cli.home.glob("ledger.db*"):
        path.unlink()
    shutil.rmtree(cli.home / "spool")


def money(cli: Cli) -> tuple[Any, ...]:
    status = cli("status", "--json").json["batches"][0]
    return status["batch"], status["shots"], status["usd"]


def test_after_a_rebuild_the_same_manifest_submits_nothing_and_the_money_is_the_same(
    made: Cli, service: Service
) -> None:
    before, counts = money(made), service.counts()
    lose_ledger(made)
    rebuilt = made("ledger", "rebuild", "--json")
    assert rebuilt.exit_code == 0, rebuilt.stderr
    assert (rebuilt.json["batches"], rebuilt.json["shots"], rebuilt.json["jobs"]) == (1, 3, 5)
    assert money(made) == before
    again = made("ledger", "rebuild", "--json").json
    assert (again["batches"], again["shots"], again["jobs"], again["assets"]) == (0, 0, 0, 0)
    done = made("run", "sheet.csv", "--json", **at(service))
    assert done.json["shots"] == {"total": 3, "done": 2, "blocked": 1, "failed": 0, "parked": 0, "waiting": 0}
    assert done.json["submissions"] == {"image": 0, "video": 0}
    assert service.counts()["requests"] == counts["requests"]
    assert money(made) == before

    as_an_older_callsheet(made)
    lose_ledger(made)
    assert made("ledger", "rebuild").exit_code == 0
    assert money(made) == before
    done = made("run", "sheet.csv", "--json", **at(service))
    assert (done.json["shots"]["done"], done.json["submissions"]) == (2, {"image": 0, "video": 0})


def as_an_older_callsheet(cli: Cli) -> None:
    """Make the sidecars those of before they kept their jobs."""
    for path in (cli.home / "archive").rglob("shot.json"):
        sidecar = json.loads(path.read_text())
        for part in (*sidecar["takes"], *sidecar["clips"]):
            del part["job"]
        path.write_text(json.dumps(sidecar))
