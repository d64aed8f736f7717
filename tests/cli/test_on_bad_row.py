"""`--on-bad-row`: check, plan and run say and leave out the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.cluster import Api
from tests.support.cli import Cli
from tests.support.media_samples import encoded, picture
from tests.support.service import Service
from tests.support.waiting import wait_for

HEAD = "id,prompt,takes,reference_images,edit_of\n"
SHEET = f"{HEAD}a,A cat,1,,\nb,A dog,1,dog.png,\nc,In red,1,,b\n,#REF!,1,,\nd,A cow,1,,\n"
LEFT_OUT = [("b", 3), ("c", 4), ("0004", 5)]


@pytest.fixture
def sheet(lean_cli: Cli) -> Path:
    (lean_cli.folder / "farm.csv").write_text(SHEET)
    return lean_cli.folder / "farm.csv"


def test_check_plan_and_run_leave_out_the_same_rows_and_tell_all_of_it(
    lean_cli: Cli, service: Service, sheet: Path
) -> None:
    skip = ("farm.csv", "--on-bad-row", "skip", "--json")
    for command in ("check", "plan", "run"):
        ran = lean_cli(command, *skip, GOOGLE_GEMINI_BASE_URL=service.url)
        assert ran.exit_code == ran.json["exit_code"] == 3, ran.stderr
        assert [(one["shot"], one["line"]) for one in ran.json["left_out"]] == LEFT_OUT, command
        for told in ("farm.csv:3: reference_images", "farm.csv:4: edit_of", "farm.csv:5: prompt"):
            assert told in ran.stderr, command
        if command == "plan":
            assert [one["shot"] for one in ran.json["shots"]] == ["a", "d"], "it prices the rest"
    assert "2 of 5 shots done, 3 left out" in ran.stderr
    assert service.counts()["accepted"]["image"] == 2


def test_a_bad_row_stops_all_of_it_by_hand(lean_cli: Cli, service: Service, sheet: Path) -> None:
    for command in ("check", "plan", "run"):
        ran = lean_cli(command, "farm.csv", "--json", GOOGLE_GEMINI_BASE_URL=service.url)
        assert (ran.exit_code, ran.json["error"]) == (2, "ManifestError"), command
    assert service.counts()["accepted"]["image"] == 0


def test_a_plan_that_leaves_rows_out_is_followed_as_it_is(lean_cli: Cli, service: Service, sheet: Path) -> None:
    lean_cli.env["GOOGLE_GEMINI_BASE_URL"] = service.url
    assert lean_cli("plan", "farm.csv", "--on-bad-row=skip", "--out", "plan.json").exit_code == 3
    assert json.loads((lean_cli.folder / "plan.json").read_text())["on_bad_row"] == "skip"
    ran = lean_cli("run", "--plan", "plan.json", "--json")
    assert (ran.exit_code, len(ran.json["left_out"])) == (3, 3), ran.stderr
    sheet.write_text(SHEET.replace("#REF!", "A hen"))
    assert lean_cli("run", "--plan", "plan.json", "--json").exit_code == 2, "the world has changed"
    sheet.write_text("id,prompt\na,A cat\n")
    lean_cli("plan", "farm.csv", "--out", "usual.json")
    assert "on_bad_row" not in json.loads((lean_cli.folder / "usual.json").read_text())


def test_a_repair_writes_the_marker_anew_without_calling_what_is_left_out_done(
    lean_cli: Cli, service: Service, sheet: Path
) -> None:
    lean_cli.env["GOOGLE_GEMINI_BASE_URL"] = service.url
    (lean_cli.folder / "dog.png").write_bytes(encoded(picture(1)))
    sheet.write_text(SHEET.replace("#REF!", "A hen"))
    assert lean_cli("run", "farm.csv").exit_code == 0
    (lean_cli.folder / "dog.png").unlink()
    assert lean_cli("run", "farm.csv", "--on-bad-row", "skip").exit_code == 3
    marker = lean_cli.home / "archive" / "farm" / "farm.rehearsal" / "_SUCCESS.json"
    assert lean_cli("archive", "verify", "farm.rehearsal").exit_code == 0, "nothing is wrong with what was made before"
    told = json.loads(marker.read_text())
    marker.unlink()
    assert lean_cli("archive", "verify", "farm.rehearsal", "--repair").exit_code == 0
    again = json.loads(marker.read_text())
    assert again["unfinished"] == told["unfinished"] == ["b", "c"]
    assert again["shots"] == told["shots"] == {"total": 5, "done": 3, "pending": 2}


def test_another_word_is_refused_with_the_nearest(lean_cli: Cli, sheet: Path) -> None:
    ran = lean_cli("check", "farm.csv", "--on-bad-row", "skp")
    assert (ran.exit_code, "Did you mean skip?" in ran.stderr) == (2, True)


@pytest.mark.slow
def test_the_server_shows_a_run_that_left_rows_out_as_completed_and_why_on_its_page_of_failures(
    cli: Cli, service: Service
) -> None:
    (cli.folder / "farm.csv").write_text(SHEET)
    ran = cli("run", "farm.csv", "--on-bad-row", "skip", "--json", GOOGLE_GEMINI_BASE_URL=service.url)
    assert ran.exit_code == 3, ran.stderr
    api = Api(cli.env["PREFECT_API_URL"])
    name = {"name": {"any_": ["farm.rehearsal"]}}
    wait_for(lambda: api.ask("flow_runs/filter", flow_runs=name)[0]["state_type"] == "COMPLETED")
    (run,) = api.ask("flow_runs/filter", flow_runs=name)
    assert run["state"]["message"] == "2 of 5 shots done; 3 left out"
    assert run["parameters"]["on_bad_row"] == "skip"
    pages = api.ask("artifacts/filter", artifacts={"key": {"any_": ["farm-rehearsal-failures"]}})
    assert pages[-1]["data"].count("is left out (manifest)") == 3
