"""`run --write-back`: the sheet with the state of its rows beside it, whatever became of the run."""

from __future__ import annotations

import asyncio
import csv
import io
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from callsheet.batch.prepare import PreparedRun, prepare_run
from callsheet.batch.request import RunRequest
from callsheet.batch.write_back import write_status
from callsheet.errors import SettingsError
from callsheet.manifest.problems import Findings
from callsheet.manifest.workbook import read_workbook
from callsheet.settings import load_settings
from tests.support.cli import Cli
from tests.support.spreadsheets import workbook

SHEET = b"\xef\xbb\xbfid;prompt;takes\r\nkite;A kite;1\r\nbad;[[block:SAFETY]] a fox;1\r\nmug;A mug;1\r\n"


def rows(path: Path) -> dict[str, list[str]]:
    lines = csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""), delimiter=";")
    return {line[0]: line[3:] for line in lines}


def file_of(link: str) -> Path:
    return Path(unquote(urlsplit(link).path))


@pytest.mark.long
def test_run_that_parks_and_one_that_goes_on_write_how_each_row_stands(lean_cli: Cli) -> None:
    sheet, copy = lean_cli.folder / "sheet.csv", lean_cli.folder / "sheet.status.csv"
    sheet.write_bytes(SHEET)
    parked = lean_cli("run", "sheet.csv", "--write-back", "--budget", "0.05", "--json")
    assert (parked.exit_code, parked.json["status_sheet"]) == (4, "sheet.status.csv"), parked.stderr
    told = rows(copy)
    assert told.pop("id") == ["callsheet_state", "callsheet_link", "callsheet_cost_usd"]
    assert any(cells[:2] == ["parked (rehearsal)", ""] for cells in told.values()), told
    done = lean_cli("run", "sheet.status.csv", "--write-back", "--json")
    told = rows(copy)
    assert (done.exit_code, told["bad"][0], told["mug"][0]) == (3, "blocked (rehearsal)", "done (rehearsal)"), told
    assert file_of(told["kite"][1]).parent.name == "kite"
    assert file_of(told["kite"][1]).is_file()
    assert (done.json["batch"], sheet.read_bytes()) == ("sheet.rehearsal", SHEET)
    again = lean_cli("run", "sheet.status.csv", "--json")
    assert (again.json["submissions"]["image"], again.json["images"]["created"]) == (0, 0)
    assert "status_sheet" not in again.json


def test_workbook_has_its_status_in_a_workbook_beside_it(lean_cli: Cli) -> None:
    data = workbook(("Notes", [["x"]]), ("Shots", [["May", ""], ["id", "prompt"], ["kite", "A kite"]]))
    (lean_cli.folder / "s.xlsx").write_bytes(data)
    ran = lean_cli("run", "s.xlsx", "--write-back")
    assert (ran.exit_code, (lean_cli.folder / "s.xlsx").read_bytes() == data) == (0, True), ran.stderr
    copy = read_workbook((lean_cli.folder / "s.status.xlsx").read_bytes(), "s.status.xlsx", "", (), Findings())
    assert [row.cells[2] for row in copy.rows] == ["", "callsheet_state", "done (rehearsal)"]
    assert lean_cli("plan", "s.status.xlsx", "--json").json["images"] == {"reuse": 1}


def test_what_has_no_rows_is_refused_before_anything_is_made(lean_cli: Cli) -> None:
    (lean_cli.folder / "s.yaml").write_text("shots:\n- {id: a, prompt: A}\n")
    ran = lean_cli("run", "s.yaml", "--write-back")
    assert (ran.exit_code, "--write-back is for sheets" in ran.stderr, lean_cli.home.exists()) == (2, True, False)


def prepare(sheet: Path, home: Path) -> PreparedRun:
    return asyncio.run(prepare_run(RunRequest(str(sheet)), load_settings(home=home)))


def test_file_of_another_hand_and_edits_of_meanwhile_are_not_overwritten(tmp_path: Path) -> None:
    sheet, copy = tmp_path / "sheet.csv", tmp_path / "sheet.status.csv"
    sheet.write_bytes(SHEET)
    asked = prepare(sheet, tmp_path / "home")
    copy.write_text("my own notes")
    with pytest.raises(SettingsError, match="not a copy that callsheet wrote"):
        asyncio.run(write_status(asked))
    assert copy.read_text() == "my own notes"
    copy.unlink()
    assert asyncio.run(write_status(asked)) == str(copy)
    assert rows(copy)["kite"] == ["pending", "", ""]
    own = prepare(copy, tmp_path / "home")
    copy.write_bytes(copy.read_bytes().replace(b"A kite", b"A red kite"))
    with pytest.raises(SettingsError, match="was changed while the batch ran"):
        asyncio.run(write_status(own))
    assert b"A red kite" in copy.read_bytes()
