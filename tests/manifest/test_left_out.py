"""Rows that are wrong in themselves: left out where the rest is to be made, and what stops all of it nevertheless."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from callsheet.errors import ManifestError
from callsheet.manifest import CheckRules, Manifest, read_manifest
from callsheet.manifest.left_out import describe_left_out, list_problems
from callsheet.models import load_catalogue
from tests.support.spreadsheets import workbook

CATALOGUE = load_catalogue()
Write = Callable[..., str]
HEAD = "id,prompt,takes,motion_prompt,cuts,reference_images,captions,edit_of,video_references\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str, name: str = "m.csv") -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return put


def read(uri: str, **options: object) -> Manifest:
    rules = {"on_bad_row": "skip", **options}
    return read_manifest(uri, CheckRules(CATALOGUE, date(2026, 11, 30), **rules))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "column", "what"),
    [
        ("x,A hat,99,,,,,,", "takes", "'99' is no such number"),
        ("x,A hat,1,,,none.png,,,", "reference_images", "there is no such file"),
        ("x,A hat,1,It turns,9x16,,none.srt,,", "captions", "there is no such file"),
        ("x,A hat,1,It turns,9x16,,\U000f0000,,", "captions", "no font here can show"),
        ("x,A hat,1,It turns,9x17,,,,", "cuts", "unknown cut '9x17'"),
        ("x,,1,,,,,,", "prompt", "there is no prompt"),
        ("x,A {colour} hat,1,,,,,,", "prompt", "unknown placeholder"),
        ("x,A hat,1,,,,,,,y,z", "-", "the row has 11 cells"),
        ("../x,A hat,1,,,,,,", "id", "is not fit"),
        ("x,A hat,1,,,,,nobody,", "edit_of", "unknown shot 'nobody'"),
    ],
)
def test_a_row_that_is_wrong_is_left_out_with_its_line_and_column(
    write: Write, row: str, column: str, what: str
) -> None:
    text = f"{HEAD},A cat,1,,,,,,\n{row}\n,A cow,2,,,,,,\n"
    found = read(write(text))
    assert [shot.id for shot in found.shots] == ["0001", "0003"]
    assert [(one.shot, one.line) for one in found.left_out] == [("line 3" if column == "id" else "x", 3)]
    (problem, *_) = found.left_out[0].problems
    assert (problem.line, problem.column) == (3, column)
    assert what in problem.what
    with pytest.raises(ManifestError) as stopped:
        read(write(text), on_bad_row="stop")
    assert stopped.value.problems == list_problems(found.left_out), "it is told the same either way"


def test_all_problems_are_told_at_once_and_counted(write: Write) -> None:
    found = read(write(f"{HEAD}a,A cat,1,,,,,,\nb,A dog,99,,,none.png,,,\nc,A cow,x,,,,,,\n"))
    lines = describe_left_out(found.left_out)
    assert [line.partition(": ")[0].rpartition(":")[2] for line in lines[:-1]] == ["3", "3", "4"]
    assert lines[-1] == "2 shots are left out until this is mended; the rest is made."


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("id,prompt\na,A cat\na,A dog\n,A cow\n", "occurs twice"),
        ("id,prompt,takes,takes\na,A cat,1,1\n", "the header occurs twice"),
        ('id,prompt\na,A cat\nb,"A dog\n', "never closed"),
        ("id,prompt,takes\na,A cat,99\nb,A dog,99\n", "'99' is no such number"),
        ("id,text\na,A cat\n", "there is no column prompt"),
    ],
)
def test_what_concerns_the_whole_sheet_stops_it_all_the_same(write: Write, text: str, what: str) -> None:
    with pytest.raises(ManifestError, match=what):
        read(write(text))


def test_a_problem_of_the_sheet_is_told_together_with_those_of_rows(write: Write) -> None:
    with pytest.raises(ManifestError) as stopped:
        read(write("id,prompt,takes\na,A cat,1\na,A dog,1\nb,A cow,99\n"))
    assert [problem.column for problem in stopped.value.problems] == ["id", "takes"]


def test_what_is_made_of_a_shot_that_is_left_out_is_left_out_too(write: Write) -> None:
    rows = (
        "top,A cat,99,,,,,,\n"
        "child,In red,1,,,,,top,\n"
        "grandchild,At night,1,,,,,child:1,\n"
        "film,A street,1,It moves,,,,,child:1\n"
        "other,A dog,1,,,,,,\n"
    )
    found = read(write(HEAD + rows))
    assert [shot.id for shot in found.shots] == ["other"]
    told = {one.shot: (one.problems[0].column, one.problems[0].what) for one in found.left_out}
    assert told["child"] == ("edit_of", "it is made of 'top', which is left out")
    assert told["grandchild"] == ("edit_of", "it is made of 'child', which is left out")
    assert told["film"] == ("video_references", "it is made of 'child', which is left out")


def test_what_leads_into_a_circle_is_left_out_and_not_made_without_its_parent(write: Write) -> None:
    rows = "a,A cat,1,,,,,b,\nb,A dog,1,,,,,a,\nc,In red,1,,,,,a,\nd,A cow,1,,,,,,\n"
    found = read(write(HEAD + rows))
    assert [shot.id for shot in found.shots] == ["d"]
    assert [one.shot for one in found.left_out] == ["a", "b", "c"]


def test_a_row_with_edits_is_left_out_whole(write: Write) -> None:
    text = "id,prompt,edits,reference_images\na,A cat,In red | At night,none.png\nb,A dog,In red,\n"
    found = read(write(text))
    assert [shot.id for shot in found.shots] == ["b", "b-edit-1"]
    assert [one.shot for one in found.left_out] == ["a", "a-edit-1", "a-edit-2"]
    assert len(list_problems(found.left_out)) == 1, "its problem is told once"


def test_a_row_of_the_table_of_a_yaml_file_is_left_out_in_all_its_shots(write: Write) -> None:
    write("id,thing,takes\nhat,A hat,1\nbag,A bag,99\nshoe,A shoe,1\n", "t.csv")
    found = read(
        write("rows: t.csv\nmatrix:\n  light: [dawn, night]\nshots:\n- prompt: '{thing} at {light}'\n", "m.yaml")
    )
    assert [shot.id for shot in found.shots] == ["hat-dawn", "hat-night", "shoe-dawn", "shoe-night"]
    assert [(one.shot, one.line) for one in found.left_out] == [("bag-dawn", 3), ("bag-night", 3)]


def test_of_a_workbook_the_cell_is_told(tmp_path: Path) -> None:
    rows = [["id", "prompt", "takes"], ["a", "A cat", "1"], ["b", "A dog", "99"]]
    (tmp_path / "m.xlsx").write_bytes(workbook(("Shots", rows)))
    found = read(str(tmp_path / "m.xlsx"))
    assert [problem.cell for problem in found.left_out[0].problems] == ["Shots!C3"]


def test_of_a_stretch_the_places_are_those_of_the_whole_sheet(write: Write) -> None:
    uri = write(f"{HEAD},A cat,1,,,,,,\n,A dog,99,,,,,,\n,A cow,1,,,,,,\n,A hen,1,,,none.png,,,\n")
    part = read(uri, stretch=slice(1, 3))
    assert [shot.id for shot in part.shots] == ["0003"]
    assert [one.shot for one in part.left_out] == ["0002"]
    assert part.places == read(uri).places == ("0001", "0002", "0003", "0004")
