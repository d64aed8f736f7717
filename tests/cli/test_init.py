"""`callsheet init`: from an empty folder to a gallery, and nothing of anybody's is written over."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from callsheet.errors import SettingsError
from callsheet.orchestration.deploy import check_manifests
from callsheet.orchestration.own_packages import DEPLOYMENTS, shipped
from tests.support.cli import Cli


def test_an_empty_folder_is_begun_and_run_to_a_gallery(lean_cli: Cli) -> None:
    begun = lean_cli("init", "--budget", "$12.50", "--time-zone", "Europe/Zurich", "--cuts", "tiktok; 1x1", "--json")
    assert begun.exit_code == 0, begun.stderr
    assert tomllib.loads((lean_cli.folder / "callsheet.toml").read_text())["budget_usd"] == 12.5
    checked = lean_cli("check", "--json")
    assert (checked.json["shots"], checked.json["clips"]) == (2, 1), checked.stderr
    done = lean_cli("run", "--json")
    assert (done.exit_code, done.json["shots"]["done"], done.json["cuts"]["created"]) == (0, 2, 2), done.stderr
    assert (Path(done.json["archive"]) / "gallery.html").is_file()
    assert lean_cli("plan", "--json").json["images"] == {"reuse": 3}


def test_its_schedules_name_its_own_sheet_and_time_zone_and_are_all_of_callsheet(lean_cli: Cli) -> None:
    assert lean_cli("init", "--time-zone", "Asia/Tokyo").exit_code == 0
    made = YAML(typ="safe").load((lean_cli.folder / "prefect.yaml").read_text())["deployments"]
    ours = YAML(typ="safe").load(shipped(DEPLOYMENTS).joinpath("prefect.yaml").read_text())["deployments"]
    assert {one["name"] for one in ours} - {one["name"] for one in made} == {"weekly-campaign"}
    assert {one["parameters"]["manifest"] for one in made if "manifest" in one.get("parameters", {})} == {"shots.csv"}
    assert {each["timezone"] for one in made for each in one.get("schedules", []) if "timezone" in each} == {
        "Asia/Tokyo"
    }
    check_manifests(lean_cli.folder / "prefect.yaml", lean_cli.folder)


def test_what_is_there_stays(lean_cli: Cli) -> None:
    (lean_cli.folder / "shots.csv").write_text("prompt\nMine\n")
    begun = lean_cli("init", "--json")
    assert (begun.exit_code, begun.json["kept"]) == (0, ["shots.csv"])
    assert (lean_cli.folder / "shots.csv").read_text() == "prompt\nMine\n"
    again = lean_cli("init", "--json")
    assert (again.exit_code, again.json["made"]) == (0, [])


def test_pictures_alone_are_begun_without_cuts(lean_cli: Cli) -> None:
    assert lean_cli("init", "new/one", "--cuts", "none").exit_code == 0
    with (lean_cli.folder / "new" / "one" / "shots.csv").open() as file:
        assert {row["cuts"] for row in csv.DictReader(file)} == {""}


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--cuts", "tiktok;vine"), "'vine' is no platform"),
        (("--time-zone", "Europe/Nowhere"), "is no time zone"),
        (("--time-zone", "../etc"), "is no time zone"),
        (("--budget", "1o"), "is no sum in USD"),
        (("--budget", "NaN"), "is no sum in USD"),
        (("a-file",), "cannot be written to"),
    ],
)
def test_a_wrong_answer_makes_nothing(lean_cli: Cli, option: tuple[str, ...], told: str) -> None:
    (lean_cli.folder / "a-file").write_text("")
    ended = lean_cli("init", *option)
    assert ended.exit_code == 2
    assert told in ended.stderr
    assert [path.name for path in lean_cli.folder.iterdir()] == ["a-file"]


def test_a_command_without_a_sheet_says_how_to_name_one(lean_cli: Cli) -> None:
    for command in ("check", "plan", "run"):
        ended = lean_cli(command)
        assert ended.exit_code == 2
        assert "CALLSHEET_MANIFEST" in ended.stderr


@pytest.mark.parametrize("sheet", ["there.csv", "gs://bucket/sheet.csv", "there.xlsx#Tab", "https://docs.google.com/x"])
def test_deployments_of_sheets_that_are_there_are_taken(tmp_path: Path, sheet: str) -> None:
    for name in ("there.csv", "there.xlsx"):
        (tmp_path / name).write_text("")
    file = tmp_path / "prefect.yaml"
    file.write_text(f"deployments:\n- name: daily\n  parameters: {{manifest: '{sheet}'}}\n- name: other\n")
    check_manifests(file, tmp_path)
    file.write_text(file.read_text() + "- name: late\n  parameters: {manifest: away.csv}\n")
    with pytest.raises(SettingsError) as refused:
        check_manifests(file, tmp_path)
    assert "late: away.csv" in str(refused.value)
    assert "daily" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["deployments:\n- name: daily\n  parameters: {manifest: away.csv}\n", "- a\n- b: [", "[]x"]
)
def test_deployments_of_a_sheet_that_is_not_there_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "prefect.yaml").write_text(text)
    with pytest.raises(SettingsError, match="Nothing was deployed"):
        check_manifests(tmp_path / "prefect.yaml", tmp_path)
