"""Status written back: into a copy that is the sheet as it was, and reads as the sheet."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from callsheet.manifest import Manifest, read_manifest
from callsheet.manifest.csv_reader import read_sheet
from callsheet.manifest.problems import Findings
from callsheet.manifest.status_columns import RowStatus, add_status, drop_status, write_workbook
from callsheet.manifest.workbook import read_workbook
from tests.support.spreadsheets import CUPS, RULES, workbook

DONE = RowStatus("done", "file:///archive/cup.png", "0.1340")
ADDED = "done,file:///archive/cup.png,0.1340"
HEADER = "callsheet_state,callsheet_link,callsheet_cost_usd"

SHEETS = {
    "plain": ("id,prompt\ncup,A cup\n", 2, f"id,prompt,{HEADER}\ncup,A cup,{ADDED}\n"),
    "no end of line": ("id,prompt\ncup,A cup", 2, f"id,prompt,{HEADER}\ncup,A cup,{ADDED}"),
    "CRLF and quotes": (
        'id,prompt\r\ncup,"A ""cup"",\r\nblue"\r\nmug,A mug\r\n',
        4,
        f'id,prompt,{HEADER}\r\ncup,"A ""cup"",\r\nblue",,,\r\nmug,A mug,{ADDED}\r\n',
    ),
    "sep line and title": (
        "sep=;\r\nMay;\r\nid;prompt\r\ncup;A cup\r\n",
        4,
        f"sep=;\r\nMay;\r\nid;prompt;{HEADER.replace(',', ';')}\r\ncup;A cup;{ADDED.replace(',', ';')}\r\n",
    ),
    "short and blank rows": (
        "id,prompt,tags\ncup,A cup\n,,\n\nmug,A mug,x\n",
        2,
        f"id,prompt,tags,{HEADER}\ncup,A cup,,{ADDED}\n,,\n\nmug,A mug,x,,,\n",
    ),
    "a copy once more": (
        f"id,prompt,{HEADER}\ncup,A cup,failed,x,y\n",
        2,
        f"id,prompt,{HEADER}\ncup,A cup,{ADDED}\n",
    ),
}


@pytest.mark.parametrize("case", SHEETS)
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_status_stands_behind_the_rows_and_all_else_is_as_it_was(case: str, codec: str) -> None:
    text, line, written = SHEETS[case]
    copy = add_status(text.encode(codec), "s.csv", {line: DONE}, tabs=False)
    assert copy == written.encode(codec)
    if case not in ("short and blank rows", "a copy once more"):
        assert drop_status(copy, tabs=False) == text.encode(codec)


def test_status_of_a_tsv_without_quoting_and_of_western_text() -> None:
    tsv = b'id\tprompt\ncup\tA 5" cup\n'
    assert (
        add_status(tsv, "s.tsv", {2: DONE}, tabs=True).splitlines()[1]
        == b'cup\tA 5" cup\t' + ADDED.replace(",", "\t").encode()
    )
    western = "id,prompt\ncup,Caf\u00e9 \u201cd\u201d\n".encode("cp1252")
    copy = add_status(western, "s.csv", {2: DONE}, tabs=False)
    assert (copy.splitlines()[1], drop_status(copy, tabs=False)) == (
        western.splitlines()[1] + f",{ADDED}".encode(),
        western,
    )


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1"])
def test_no_cell_of_ours_begins_as_a_formula(text: str) -> None:
    cells = RowStatus(text, text, text).cells
    assert cells == (f"'{text}",) * 3


def read(place: Path, name: str, data: bytes) -> Manifest:
    (place / name).write_bytes(data)
    return read_manifest(str(place / name), RULES)


def test_copy_is_the_same_batch_of_the_same_shots_with_the_same_hash(tmp_path: Path) -> None:
    data = b"id,prompt,takes,Owner\r\ncup,A {Owner} cup,2,Bo\r\nmug,-a mug,1,\r\n"
    first = read(tmp_path, "s.csv", data)
    copy = add_status(data, "s.csv", {2: DONE, 3: DONE}, tabs=False)
    again = read(tmp_path, "s.status.csv", copy)
    assert (again.shots, again.campaign, again.sha256, again.warnings) == (
        first.shots,
        "s",
        first.sha256,
        first.warnings,
    )
    assert read(tmp_path, "t.status.csv", data).campaign == "t-status", "a sheet that was called so before"
    used = read(tmp_path, "u.csv", copy.replace(b"A {Owner} cup", b"A cup"))
    assert "callsheet" not in " ".join(map(str, used.warnings))


def test_copy_of_a_workbook_is_a_workbook_that_reads_the_same(tmp_path: Path) -> None:
    rows = [["November", "", ""], ["", "", ""], *CUPS, ["pot", "=A1 text", 12], ["007", "-1", 1.5]]
    data = workbook(("Notes", [["x"]]), ("Shots", rows))
    sheet = read_workbook(data, "s.xlsx", "", (), Findings())
    copy = write_workbook(sheet.name, sheet.rows, 3, {4: DONE})
    again = read_workbook(copy, "s.status.xlsx", "", (), Findings())
    assert [row.cells[:3] for row in again.rows] == [row.cells for row in sheet.rows]
    assert [(row.line, row.cells[3:]) for row in again.rows][1:3] == [(3, tuple(HEADER.split(","))), (4, DONE.cells)]
    twice = read_workbook(write_workbook("Shots", again.rows, 3, {4: DONE}), "s.status.xlsx", "", (), Findings())
    assert twice.rows == again.rows
    first = read(tmp_path, "s.xlsx", workbook(("Shots", CUPS)))
    plain = read_workbook(workbook(("Shots", CUPS)), "s.xlsx", "", (), Findings())
    second = read(tmp_path, "s.status.xlsx", write_workbook("Shots", plain.rows, 1, {2: DONE}))
    assert (second.shots, second.campaign) == (first.shots, first.campaign)


def make_sheets(count: int) -> Iterator[str]:
    chance = random.Random(11)
    signs = [*string.ascii_letters, *'",;\t \n', "\r\n", '""', "\u201c"]
    for _ in range(count):
        cells = ["".join(chance.choices(signs, k=chance.randint(0, 6))) for _ in range(chance.randint(0, 9))]
        quoted = [f'"{cell.replace(chr(34), chr(34) * 2)}"' if chance.random() < 0.7 else cell for cell in cells]
        rows = [",".join(quoted[at : at + 3]) for at in range(0, len(quoted), 3)]
        yield chance.choice(["\n", "\r\n"]).join(["id,prompt,note", *rows, ""])


@pytest.mark.parametrize("count", [300, pytest.param(20_000, marks=pytest.mark.slow)])
def test_any_sheet_that_is_read_is_written_back_and_reads_the_same(count: int) -> None:
    written = 0
    for text in make_sheets(count):
        findings = Findings()
        sheet = read_sheet(text, "s.csv", tabs=False, findings=findings)
        if not findings.problems:
            written += 1
            copy = add_status(text.encode(), "s.csv", {row.line: DONE for row in sheet.rows}, tabs=False)
            again = read_sheet(copy.decode(), "s.csv", tabs=False, findings=findings)
            assert (again.headers, again.rows, again.is_copy) == (sheet.headers, sheet.rows, True)
    assert written > count // 20
