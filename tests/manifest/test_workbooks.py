"""Workbooks: read as the CSV that is saved of them, within bounds; what cannot be read is told in one sentence."""

from __future__ import annotations

import csv
import io
import random
import zipfile
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from callsheet.errors import ManifestError
from callsheet.manifest import Manifest, UserValues, read_manifest, workbook_package
from callsheet.manifest.load import RawManifest, load_table
from callsheet.manifest.problems import Findings
from tests.support.spreadsheets import CUPS, DAY, READ, RULES, replace_part, workbook


def read(place: Path, data: bytes, name: str = "shots.xlsx", sheet: str = "") -> Manifest:
    (place / name).write_bytes(data)
    return read_manifest(f"{place / name}{sheet}", RULES)


def told(manifest: Manifest) -> str:
    return " | ".join(str(warning) for warning in manifest.warnings)


def as_number(cell: str) -> float | str:
    return float(cell) if cell.isdigit() else cell


def drafts(name: str, data: bytes) -> list[tuple[object, ...]]:
    """The rows of a sheet before their checks, which are the same for all."""
    raw = RawManifest(name, "" if name.endswith("x") else data.decode(), {}, {}, Findings(), data)
    loaded = load_table(raw, tabs=False, defaulted=False)
    return [(draft.cells, draft.variables, draft.label) for draft in loaded.drafts]


def test_table_as_workbook_and_as_csv_gives_the_same_rows() -> None:
    for data, *_ in READ.values():
        if data.count(",") > 2 and "sep=" not in data:
            rows = [[as_number(cell) for cell in row] for row in csv.reader(io.StringIO(data))]
            assert drafts("s.xlsx", workbook(("Shots", rows))) == drafts("s.csv", data.encode()), data


def test_table_as_workbook_and_as_csv_gives_the_same_shots_of_the_same_batch(tmp_path: Path) -> None:
    (tmp_path / "shots.csv").write_text("id,prompt,takes\ncup,A cup,2\nmug,A mug,1\n")
    of_text, of_workbook = read_manifest(str(tmp_path / "shots.csv"), RULES), read(tmp_path, workbook(("Shots", CUPS)))
    assert (of_workbook.shots, of_workbook.campaign) == (of_text.shots, of_text.campaign)


def test_values_are_written_as_a_csv_has_them(tmp_path: Path) -> None:
    headers = ["id", "prompt", "takes", "aspect_ratio", "n", "when", "ok", "price"]
    text = "A {n} {when} {ok} {price} cup\nwith tea"
    rows = [headers, ["cup", text, 2.0, time(16, 9), 0.1 + 0.2, DAY, True, 1250]]
    [shot] = read(tmp_path, workbook(("Shots", rows))).shots
    assert shot.prompt == "A 0.3 2026-11-30 TRUE 1250 cup\nwith tea"
    assert (shot.takes, shot.aspect_ratio, shot.line) == (2, "16:9", 2)


def test_formula_has_the_value_that_was_saved_and_an_error_is_not_paid_for(tmp_path: Path) -> None:
    def add(_book: Any, sheets: Any) -> None:
        sheets[0].write_formula("B2", '=CONCAT("A"," cup")', None, "A cup")
        sheets[0].write_formula("B3", "=1/0", None, "#DIV/0!")

    rows = [["id", "prompt", "aspect_ratio"], ["cup", "", "1:1"], ["mug", "", "1:1"]]
    manifest = read(tmp_path, workbook(("Shots", rows), change=add))
    assert [shot.prompt for shot in manifest.shots] == ["A cup", "#DIV/0!"]
    assert {(one.shot, one.problem.cell) for one in manifest.unsendable} == {("mug", "Shots!B3")}


def test_formula_that_was_never_calculated_is_refused_and_not_left_out(tmp_path: Path) -> None:
    def add(_book: Any, sheets: Any) -> None:
        sheets[0].write_formula("B3", "=A1", None, "")

    with pytest.raises(ManifestError, match=r"shots.xlsx:Shots!B3: -: the formula has no value; open the workbook"):
        read(tmp_path, workbook(("Shots", CUPS), change=add))


def test_problems_name_their_cells(tmp_path: Path) -> None:
    rows = [["", "", ""], ["", "Campaign", ""], ["", "ID", "Prompt", "takes"], ["", "cup", "A cup", "many"]]
    with pytest.raises(ManifestError, match=r"shots.xlsx:'My shots'!D4: takes: 'many' is no such number"):
        read(tmp_path, workbook(("My shots", rows)))


def test_sheet_is_the_first_with_prompts_that_can_be_seen_or_the_one_that_is_named(tmp_path: Path) -> None:
    def hide(_book: Any, sheets: Any) -> None:
        sheets[2].activate()
        sheets[1].hide()

    old = [["id", "prompt"], ["old", "An old cup"]]
    data = workbook(("Notes", [["who", "what"]]), ("Old", old), ("Shots", CUPS), ("More", old), change=hide)
    first = read(tmp_path, data)
    assert ([shot.id for shot in first.shots], first.campaign) == (["cup", "mug"], "shots")
    assert "sheet 'Shots' was read, of 3; name another one behind a hash: #More" in told(first)
    for name in ("Old", "old", "%4Fld"):
        named = read(tmp_path, data, sheet=f"#{name}")
        assert ([shot.id for shot in named.shots], named.campaign) == (["old"], f"shots-{name.lower().strip('%')}")
        assert (named.sha256 == first.sha256, told(named)) == (False, "")
    with pytest.raises(ManifestError, match="there is no sheet 'Shot'; the workbook has: Notes, Old, Shots, More; did"):
        read(tmp_path, data, sheet="#Shot")
    with pytest.raises(ManifestError, match="Notes!1:1: prompt: there is no column prompt"):
        read(tmp_path, workbook(("Notes", [["who", "what"], ["a", "b"]])))


def test_sheet_is_chosen_by_the_header_that_a_person_maps(tmp_path: Path) -> None:
    (tmp_path / "s.xlsx").write_bytes(workbook(("Notes", [["who"]]), ("Texts", [["Bild"], ["A cup"]])))
    manifest = read_manifest(str(tmp_path / "s.xlsx"), RULES, UserValues(columns={"prompt": "Bild"}))
    assert [shot.prompt for shot in manifest.shots] == ["A cup"]


def test_hidden_rows_and_merged_cells_are_told(tmp_path: Path) -> None:
    def change(_book: Any, sheets: Any) -> None:
        sheets[0].merge_range("A1:C1", "November")
        sheets[0].merge_range("C3:C4", 2)
        sheets[0].set_row(3, options={"hidden": True})

    manifest = read(tmp_path, workbook(("Shots", [[""], *CUPS]), change=change))
    assert [(shot.id, shot.takes) for shot in manifest.shots] == [("cup", 2), ("mug", 1)]
    assert "Shots!4:4: -: a hidden row is read as well: line 4; delete those that are not to be made" in told(manifest)
    assert "Shots!C3: -: of merged cells only the first has the value: 1 range" in told(manifest)
    assert "1 row above the header left out; the header is line 2" in told(manifest)


def test_workbook_is_the_table_of_a_yaml_file(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(workbook(("Notes", [["x"]]), ("Cups", CUPS)))
    for sheet in ("", "#Cups"):
        text = f"campaign: c\nrows: t.xlsx{sheet}\ncolumns: {{tags: takes}}\n".encode()
        manifest = read(tmp_path, text, "s.yaml")
        assert [(shot.id, shot.prompt, shot.tags) for shot in manifest.shots] == [
            ("cup", "A cup", ("2",)),
            ("mug", "A mug", ("1",)),
        ]


def _far(data: bytes) -> bytes:
    return data.replace(b"</sheetData>", b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>')


OLE = b"\xd0\xcf\x11\xe0" + bytes(60)
SHEET = "xl/worksheets/sheet1.xml"
REFUSED = {
    "a password": (OLE + "EncryptedPackage".encode("utf-16-le"), "protected by a password; .*save it without one"),
    "xls": (OLE, r"a workbook of before 2007 \(.xls\); .*save it as .xlsx"),
    "text": (b"id,prompt\na,A cup\n", "this is no workbook; .*if it is text, name it .csv"),
    "empty": (b"", "this is no workbook"),
    "half a file": (workbook(("S", CUPS))[:3000], "the workbook is damaged"),
    "a far cell": (replace_part(workbook(("S", CUPS)), SHEET, _far), "reaches to cell XFD1048576; allowed: 5,000,000"),
    "half a sheet": (replace_part(workbook(("S", CUPS)), SHEET, lambda part: part[:300]), "sheet 'S' is damaged"),
    "a document type": (
        replace_part(workbook(("S", CUPS)), SHEET, lambda part: part.replace(b"<worksheet", b"<!DOCTYPE x><worksheet")),
        "is damaged: a workbook has no document type",
    ),
    "no sheet": (replace_part(workbook(("S", CUPS)), "xl/workbook.xml", lambda _part: b"<a/>"), "is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_workbook_that_cannot_be_read_is_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    data, words = REFUSED[case]
    with pytest.raises(ManifestError, match=words):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("member", "words"),
    [("mimetype", r"of LibreOffice \(.ods\)"), ("xl/workbook.bin", r"\(.xlsb\)"), ("Index/a.iwa", "of Numbers")],
)
@pytest.mark.parametrize("suffix", ["xlsx", "ods"])
def test_workbook_of_another_kind_is_named(tmp_path: Path, member: str, words: str, suffix: str) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(member, "x")
    with pytest.raises(ManifestError, match=f"{words}.*save it as .xlsx"):
        read(tmp_path, data.getvalue(), f"s.{suffix}")


def test_workbook_that_unpacks_to_too_much_is_refused_before_and_while_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbook_package, "MAX_UNPACKED_BYTES", 2**20)
    zeros = bytes(2**19 + 1)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("xl/a.xml", "xl/b.xml"):
            archive.writestr(name, zeros)
        archive.writestr("xl/media/film.xml", b"x")
    with pytest.raises(ManifestError, match="unpacks to too much; allowed: 1 MB of sheets; split it"):
        read(tmp_path, bomb.getvalue())
    lying = bomb.getvalue().replace(len(zeros).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    with pytest.raises(ManifestError, match="the workbook is damaged"):
        read(tmp_path, lying)


@pytest.mark.parametrize("files", [150, pytest.param(10_000, marks=pytest.mark.slow)])
def test_any_workbook_is_a_sheet_or_a_report(files: int) -> None:
    chance = random.Random(7)
    whole = workbook(("Notes", [["x", 1.5]]), ("Shots", [*CUPS, ["pot", "A pot", time(9, 16)]]))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if "docProps" not in name}
    for number in range(files):
        name = chance.choice(list(parts))
        data = bytearray(parts[name] if number % 3 else whole)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data) + 1)
            noise = b"".join(chance.choices([b"\x00", b"9", b'"', b"<", b">", b"s", b"e999", b"/", b"\xff"], k=2))
            data[at : at + chance.randint(0, 3)] = noise
        made = bytes(data) if not number % 3 else _pack({**parts, name: bytes(data)})
        findings = Findings()
        try:
            loaded = load_table(RawManifest("s.xlsx", "", {}, {}, findings, made), tabs=False, defaulted=False)
        except ManifestError:
            continue
        assert loaded.drafts or findings.problems


def _pack(parts: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return data.getvalue()
