"""The text half of manifests: templates, tables with true line numbers, YAML as written."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.errors import ManifestError
from callsheet.manifest.columns import COLUMNS
from callsheet.manifest.csv_reader import Sheet, read_sheet
from callsheet.manifest.draft import Rendered, escape, render
from callsheet.manifest.expand import slug
from callsheet.manifest.problems import Findings
from callsheet.manifest.yaml_reader import ListNode, MapNode, ScalarNode, read_document
from callsheet.sources import read_bytes

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


def sheet(text: str, *, tabs: bool = False) -> tuple[Sheet, Findings]:
    findings = Findings()
    return read_sheet(text, "m.csv", tabs=tabs, findings=findings), findings


@given(TEXT, st.dictionaries(TEXT, TEXT))
def test_escaped_text_comes_back_unchanged(text: str, variables: dict[str, str]) -> None:
    assert render(escape(text), variables) == Rendered(text)


@given(TEXT, TEXT, TEXT)
def test_a_value_is_put_in_as_it_is(before: str, value: str, after: str) -> None:
    assert render(f"{escape(before)}{{x}}{escape(after)}", {"x": value}).text == before + value + after


@given(TEXT)
def test_any_text_renders_and_a_known_name_is_never_unknown(text: str) -> None:
    assert "a" not in render(f"{text}{{a}}", {"a": "b"}).unknown


@pytest.mark.parametrize("name", ["a.b", "a[0]", "a!r", "a:>9", "a.__class__", "0", ""])
def test_nothing_but_a_name_is_looked_up(name: str) -> None:
    assert render(f"{{{name}}}", {"a": "value"}) == Rendered(f"{{{name}}}", (name,))


def test_values_are_not_filled_again() -> None:
    assert render("{a}", {"a": "{b}", "b": "no"}).text == "{b}"


def test_filling_stops_at_the_limit() -> None:
    rendered = render("{a}" * 6_000, {"a": "x" * 20_000})
    assert rendered.overlong
    assert len(rendered.text) <= 20_000


def test_a_single_brace_is_noticed() -> None:
    assert render("a } b", {}).stray
    assert render("a { b", {}).stray
    assert not render("{{a}}", {}).stray


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=6)))
def test_what_csv_writes_is_read_back_with_true_lines(rows: list[list[str]]) -> None:
    width = len(rows[0]) if rows else 1
    headers = [f"h{number}" for number in range(width)]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=",")
    writer.writerow(headers)
    expected = []
    for row in rows:
        line = len(io.StringIO(buffer.getvalue(), newline="").readlines()) + 1
        writer.writerow(row)
        if any(cell.strip() for cell in row):
            expected.append((line, tuple(row)))
    table, findings = sheet(buffer.getvalue())
    assert [(row.line, row.cells) for row in table.rows] == expected
    assert findings.problems == [] or not expected


def test_lines_are_physical_with_blank_lines_crlf_and_quoted_cells() -> None:
    table, findings = sheet('id,prompt\r\n\r\na,"one\r\ntwo\r\nthree"\r\n,\r\nb,four\r\n')
    assert [(row.line, row.cells[0]) for row in table.rows] == [(3, "a"), (7, "b")]
    assert findings.problems == []


def test_spreadsheets_that_write_semicolons_are_read() -> None:
    assert sheet("id;prompt\na;x, y\n")[0].rows[0].cells == ("a", "x, y")


def test_a_tsv_is_quoted_only_if_all_of_it_is() -> None:
    assert sheet('id\tprompt\na\t"one\ttwo"\n', tabs=True)[0].rows[0].cells == ("a", "one\ttwo")
    plain = sheet('prompt\tid\n"G I" painted\ta\n"b\tc\n', tabs=True)[0]
    assert [row.cells for row in plain.rows] == [('"G I" painted', "a"), ('"b', "c")]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "the file is empty"),
        ("\n\n", 1, "the file is empty"),
        ("id,prompt\n", 1, "no row"),
        ("id,prompt\na,x\nb,y,z\n", 3, "3 cells, the header 2"),
        ('id,prompt\na,x\nb,"y\nz\n', 3, "never closed"),
        ('id,prompt\na,"x"y\n', 2, "quotes do not fit"),
        ("id,id\na,b\n", 1, "occurs twice"),
        ("id,,prompt\na,b,c\n", 1, "blank"),
        ("id,prompt\na," + "x" * 20_001 + "\n", 2, "20001 characters"),
        ("id,prompt\na," + "x" * 5_000_000 + "\n", 2, "too long"),
    ],
)
def test_damaged_tables_are_told_with_their_line(text: str, line: int, words: str) -> None:
    problem = sheet(text)[1].problems[0]
    assert problem.line == line
    assert words in problem.what


def document(text: str) -> tuple[object, Findings]:
    findings = Findings()
    return read_document(text, "m.yaml", findings), findings


def test_yaml_scalars_stay_as_written() -> None:
    node, findings = document("a: 16:9\nb: no\nc: 010\nd: ~\ne: '~'\nf:\n  - 1.50\n")
    assert isinstance(node, MapNode)
    assert [each.text for each in node.items.values() if isinstance(each, ScalarNode)] == [
        "16:9",
        "no",
        "010",
        None,
        "~",
    ]
    listed = node.items["f"]
    assert isinstance(listed, ListNode)
    assert listed.items == [ScalarNode("1.50", 7)]
    assert findings.problems == []


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "empty"),
        ("a: 1\nb: [\n", 3, "not valid YAML"),
        ("a: 1\n\tb: 1\n", 2, "not valid YAML"),
        ("a: 1\na: 2\n", 2, "occurs twice"),
        ("a: 1\nb: !!python/object:os.system x\n", 2, "tag"),
        ("a: &x [1]\nb: *x\n", 1, "anchors"),
        ("a: 1\n---\nb: 1\n", 3, "second document"),
        ("a:\n  " + "[" * 100_000, 2, "nested too deep"),
        ("? [x]\n: 1\n", 1, "key must be text"),
        ("a: \x01\n", 1, "not valid YAML"),
    ],
)
def test_yaml_that_is_more_than_text_is_refused(text: str, line: int, words: str) -> None:
    problem = document(text)[1].problems[0]
    assert words in problem.what
    assert problem.line == line


@given(st.text(max_size=200))
def test_any_text_is_a_document_or_a_problem(text: str) -> None:
    node, findings = document(text)
    assert node is not None or findings.problems


@given(st.text(max_size=80))
def test_slugs_are_short_and_safe(text: str) -> None:
    made = slug(text)
    assert len(made) <= 40
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_every_column_is_described() -> None:
    assert all(column.description.endswith(".") for column in COLUMNS.values())


@pytest.mark.parametrize(
    "uri",
    [
        "https://files.example/sheet.csv?X-Goog-Date=1&X-Goog-Signature=0123secret",
        "https://files.example/sheet.csv?alt=media&key=0123secret",
        "https://team:0123secret@files.example/sheet.csv",
    ],
)
def test_an_address_that_opens_the_file_for_whoever_sees_it_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(ManifestError) as refused:
        read_bytes(uri)
    assert "carries a signature or a key" in str(refused.value)
    assert "0123secret" not in str(refused.value)
