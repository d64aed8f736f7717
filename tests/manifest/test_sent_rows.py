"""Rows that a program sends: the sheet that they stand for, or why they are none."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.batch.sent_rows import MAX_BYTES, write_rows
from callsheet.errors import ManifestError


def cells(rows: list[dict[str, Any]]) -> list[list[str]]:
    return list(csv.reader(io.StringIO(write_rows(rows), newline=""), strict=True))


def test_rows_become_a_sheet_with_a_header_of_all_columns() -> None:
    rows = [{"id": "a", "takes": 2, "seed": 7.0, "tags": ["x", 1]}, {"id": "b", "live": True, "note": None, "f": 1.5}]
    assert cells(rows) == [
        ["id", "takes", "seed", "tags", "live", "note", "f"],
        ["a", "2", "7", "x;1", "", "", ""],
        ["b", "", "", "", "true", "", "1.5"],
    ]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.text(st.characters(exclude_categories=["Cs"])), min_size=1)))
def test_text_of_any_kind_comes_out_as_it_went_in(rows: list[dict[str, str]]) -> None:
    if not rows:
        return
    header, *read = cells(rows)
    assert [dict(zip(header, line, strict=True)) for line in read] == [
        {name: row.get(name, "") for name in header} for row in rows
    ]


@pytest.mark.parametrize("value", [{"a": 1}, [[1]], ["a;b"], [{"a": 1}], float("nan"), float("inf"), b"x"])
def test_value_that_is_no_cell_is_refused_with_its_row_and_column(value: Any) -> None:
    with pytest.raises(ManifestError, match=r"rows\.csv:3: tags: this"):
        write_rows([{"tags": "x"}, {"tags": value}])


@pytest.mark.parametrize("rows", [[], [{}], [{}, {}]])
def test_no_rows_are_refused(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ManifestError, match="no rows"):
        write_rows(rows)


def test_rows_of_more_than_200_kib_are_refused_and_fewer_are_not() -> None:
    around = len('[{"prompt":""}]')
    write_rows([{"prompt": "x" * (MAX_BYTES - around)}])
    with pytest.raises(ManifestError, match="gs://"):
        write_rows([{"prompt": "x" * (MAX_BYTES - around + 1)}])
