"""What is forged in an archive leads to nothing outside: not read, not copied, not linked, not written."""

from __future__ import annotations

import io
import json

import polars as pl
import pytest

from callsheet.archive.layout import is_file_name
from callsheet.archive.parts import SCHEMA
from callsheet.archive.search import search
from callsheet.archive.search_query import Query
from callsheet.archive.sidecar_io import parse_sidecar, sidecar_bytes
from callsheet.errors import ArchiveError
from tests.support.sidecars import shot


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "a/b.png", "a\\b.png", "a\nb.png", "", ".", ".."])
def test_a_sidecar_that_names_a_file_outside_its_folder_is_none(name: str) -> None:
    assert not is_file_name(name)
    told = json.loads(sidecar_bytes(shot()))
    told["takes"][0]["file"]["file"] = name
    with pytest.raises(ArchiveError, match="not the name of a file in its folder"):
        parse_sidecar(json.dumps(told).encode(), "here")


def test_rows_that_name_files_outside_their_folder_are_not_found() -> None:
    row = dict.fromkeys(SCHEMA) | {
        "campaign": "s",
        "batch": "s.live",
        "shot": "a",
        "file": "take-1.png",
        "kind": "take",
    }
    odd = [row | {"file": "../x.png"}, row | {"thumbnail": "/etc/passwd"}, row | {"campaign": "../s", "file": "b.png"}]
    buffer = io.BytesIO()
    pl.DataFrame([row, *odd], schema=SCHEMA).write_parquet(buffer)
    buffer.seek(0)
    assets, unreadable = search({"part": buffer}, Query())  # type: ignore[dict-item]
    assert (unreadable, assets["file"].to_list()) == ({}, ["take-1.png"])
