"""Runs limited to some shots and to what is free: the work is limited, what is told of the batch is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.service import Service

SHEET = "id,prompt,takes,seed\n" + "".join(f"scene{n},A paper theatre scene number {n},1,{n}\n" for n in range(1, 4))


def run(cli: Cli, service: Service, *options: str) -> dict[str, Any]:
    """The summary of a run with these options."""
    return cli("run", "sheet.csv", "--json", *options, GOOGLE_GEMINI_BASE_URL=service.url).json


def marker_of(summary: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(summary["archive"]) / "_SUCCESS.json").read_text())
    return found


@pytest.mark.long
def test_a_limited_run_makes_its_shots_and_a_free_one_none_and_both_tell_of_the_whole_batch(
    lean_cli: Cli, service: Service
) -> None:
    (lean_cli.folder / "sheet.csv").write_text(SHEET)
    one = run(lean_cli, service, "--only", "scene2")
    assert (one["exit_code"], one["shots"]["total"], one["shots"]["done"]) == (0, 3, 1)
    assert one["submissions"]["image"] == 1
    assert sorted(path.name for path in (Path(one["archive"]) / "shots").iterdir()) == ["scene2"]
    marker = marker_of(one)
    assert (marker["complete"], marker["shots"]) == (False, {"total": 3, "done": 1, "pending": 2})
    assert set(marker["unfinished"]) == {"scene1", "scene3"}
    assert "scene3" in (Path(one["archive"]) / "gallery.html").read_text()

    free = run(lean_cli, service, "--free")
    assert (free["exit_code"], free["shots"]["done"], free["submissions"]) == (4, 1, {"image": 0, "video": 0})
    assert service.counts()["accepted"]["image"] == 1
    states = {row["shot"]: row["state"] for row in lean_cli("status", "sheet.rehearsal", "--json").json["shots"]}
    assert states == {"scene1": "pending", "scene2": "done", "scene3": "pending"}

    (lean_cli.folder / "sheet.csv").write_text(SHEET.replace("number 2", "number 22"))
    other = run(lean_cli, service, "--only", "scene1")
    assert marker_of(other)["shots"] == {"total": 3, "done": 1, "pending": 2}, "scene2 is not what it was asked for now"
    assert (other["exit_code"], other["shots"]["done"]) == (0, 1)


def test_a_shot_that_is_not_in_the_manifest_is_refused(bare_cli: Cli) -> None:
    (bare_cli.folder / "sheet.csv").write_text(SHEET)
    refused = bare_cli("run", "sheet.csv", "--only", "scene7", "--json")
    assert refused.exit_code == 2
    assert "scene7" in refused.stderr
