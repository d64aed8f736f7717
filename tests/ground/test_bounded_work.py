"""Text of strangers, however long and odd, costs work in proportion to its length. Counted, not timed."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz import process

from callsheet.errors import ManifestError
from callsheet.manifest import CheckRules, UserValues, read_manifest
from callsheet.manifest.columns import MAX_COLUMNS
from callsheet.models import load_catalogue
from callsheet.providers.error_bodies import duration_s, plain, read_error, speaks_of_policy, without_tags
from callsheet.suggestions import nearest

TODAY = date(2026, 11, 30)


class Counted(str):
    """Text that counts the characters which searches in it have passed."""

    passed = 0

    def find(self, sub: str, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        found = super().find(sub, start)
        Counted.passed += (len(self) if found < 0 else found) - start + 1
        return found


@pytest.mark.parametrize(
    "piece",
    [
        "<",
        "<script",
        "<script>",
        "<style><script>",
        "</script>",
        "<script></style>",
        "<a",
        ">",
        "<script x",
        "a<b>",
        "<SCRIPT></SCRIPT>",
    ],
)
def test_tags_are_taken_out_in_one_pass(piece: str) -> None:
    text = Counted(piece * 20_000)
    Counted.passed = 0
    without_tags(text)
    assert Counted.passed <= 4 * len(text)


@given(
    st.lists(st.sampled_from(["<", ">", "script", "style", "</script>", "</style>", "<script>", "a", " ", "\n", "/"]))
)
def test_tags_are_taken_out_as_a_regular_expression_would(pieces: list[str]) -> None:
    text = "".join(pieces)
    expected = re.sub(r"<(script|style)\b[^>]*>.*?</\1>|<[^>]*>", " ", text, flags=re.IGNORECASE | re.DOTALL)
    assert without_tags(text) == expected


def test_a_page_that_answers_is_told_by_its_text() -> None:
    page = b"<html><style>a{b:c}</style><SCRIPT>if (a<b) {}</SCRIPT><title>Sign in</title><p>to the network</p></html>"
    assert read_error(page).message == "Sign in to the network"
    assert len(plain("<script" * 10**6)) <= 500
    assert not speaks_of_policy("violat" * 10_000)
    assert duration_s("1" * 10**6) is None


def sheet(tmp_path: Path, columns: int, rows: int = 1, prompt: str = "A cup") -> str:
    path = tmp_path / "sheet.csv"
    head = ["id", "prompt", *(f"c{n}" for n in range(columns - 2))]
    lines = [[f"s{row}", prompt.format(row), *("v" for _ in head[2:])] for row in range(rows)]
    path.write_text("\n".join(",".join(line) for line in [head, *lines]) + "\n")
    return str(path)


def test_twenty_thousand_columns_are_refused_with_the_number_allowed(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        read_manifest(sheet(tmp_path, 20_000), CheckRules(load_catalogue(), TODAY))
    assert [problem.line for problem in caught.value.problems] == [1]
    assert f"20000 columns are too many; allowed: at most {MAX_COLUMNS}" in str(caught.value)
    assert len(read_manifest(sheet(tmp_path, MAX_COLUMNS), CheckRules(load_catalogue(), TODAY)).shots) == 1


def test_hints_are_looked_for_only_where_they_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    extract = process.extractOne

    def count_choices(word: str, choices: tuple[str, ...], **options: Any) -> Any:
        compared.append(len(choices))
        return extract(word, choices, **options)

    monkeypatch.setattr(process, "extractOne", count_choices)
    with pytest.raises(ManifestError, match="and 1000 more problems"):
        read_manifest(sheet(tmp_path, 100, 2000, "A {{x{}}} cup"), CheckRules(load_catalogue(), TODAY))
    assert sum(compared) <= 1100 * 100
    assert nearest("a", (f"a{n}" for n in range(10**5))) is None, "too many to compare"


@pytest.mark.parametrize("character", ["\x01", "\x07", "\x0b", "\x1b", "\x7f", "\x85", "\x9b"])
@pytest.mark.parametrize(
    ("column", "kinds"),
    [
        ("prompt", {"image"}),
        ("negative_prompt", {"image", "video"}),
        ("motion_prompt", {"video"}),
        ("tags", {"image", "video"}),
    ],
)
def test_control_characters_are_refused_with_their_place(
    column: str, kinds: set[str], character: str, tmp_path: Path
) -> None:
    cells = {"id": "a", "prompt": "A cup", "negative_prompt": "rain", "motion_prompt": "It turns", "tags": "red"}
    cells[column] += f"{character}x"
    (tmp_path / "m.csv").write_text(
        ",".join(cells) + "\n" + ",".join(cells.values()) + "\n", encoding="utf-8", newline=""
    )
    found = read_manifest(str(tmp_path / "m.csv"), CheckRules(load_catalogue(), TODAY)).unsendable
    assert {each.kind for each in found} == kinds
    assert {(each.problem.line, each.problem.column) for each in found} == {(2, column)}
    assert f"U+{ord(character):04X}, at character {len(cells[column]) - 1}" in str(found[0].problem)


def test_line_breaks_tabs_and_marks_of_scripts_are_text(tmp_path: Path) -> None:
    text = "A cup\twith\nlines, \u200dzero width\u200b, \u202eoverride and \u2028separator"
    (tmp_path / "m.csv").write_text(f'id,prompt,tags\na,"{text}","red\tone"\n', encoding="utf-8")
    sheet = read_manifest(str(tmp_path / "m.csv"), CheckRules(load_catalogue(), TODAY))
    assert (sheet.unsendable, sheet.shots[0].prompt) == ((), text)


@pytest.mark.parametrize("escape", [r"\x07", r"\e", r"\b", r"\u0085"])
def test_control_characters_of_yaml_escapes_are_refused_in_their_line(escape: str, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(f'shots:\n  - id: a\n    prompt: "A {escape} cup"\n')
    found = read_manifest(str(tmp_path / "m.yaml"), CheckRules(load_catalogue(), TODAY)).unsendable
    assert [(each.problem.line, each.problem.column) for each in found] == [(3, "prompt")]


def test_a_variable_that_is_no_text_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("id,prompt\na,A {x} cup\n")
    with pytest.raises(ManifestError, match="vars: the value of 'x' is not UTF-8"):
        read_manifest(str(tmp_path / "m.csv"), CheckRules(load_catalogue(), TODAY), UserValues({"x": "a\udcff"}))
