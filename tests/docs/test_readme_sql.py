"""The questions in SQL that docs/howto/find.md shows are answered as `callsheet find` answers them."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from callsheet.archive.parts import SCHEMA
from callsheet.archive.search import find
from callsheet.archive.search_query import Query
from callsheet.archive.store_local import LocalStore
from tests.support.catalogues import NOON, TODAY, row, write
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "howto" / "find.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
ARCHIVE = ".callsheet/archive"
PARTS = "read_parquet('{root}/catalog/*/*.parquet', hive_partitioning = true, union_by_name = true, filename = true)"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    before = NOON - timedelta(days=30)
    write(
        tmp_path,
        [
            row("cup", "clip", prompt="Steam over COFFEE", usd=1.0),
            row("pour", "clip", prompt="Slow dolly", frame_prompt="A coffee bar", created=NOON + timedelta(hours=1)),
            row("beans", "clip", prompt="Beans", tags=["Coffee"], created=NOON - timedelta(hours=1)),
            row("cup", "take", prompt="coffee"),
            row("tea", "clip", prompt="Tea", tags=None),
        ],
    )
    write(tmp_path, [row("cup", "clip", prompt="Steam over COFFEE", usd=2.0)], number=10)
    write(tmp_path, [row("old", "clip", prompt="coffee", created=before)], TODAY - timedelta(days=30))
    return tmp_path


def answered(archive: Path) -> list[tuple[object, ...]]:
    """What `callsheet find coffee --kind clip --since 2026-11-01` finds, without addresses."""
    query = Query(words=("coffee",), kinds=("clip",), since=datetime(2026, 11, 1, tzinfo=UTC))
    found = asyncio.run(find(LocalStore(archive), query)).assets
    return found.select("kind", "shot", "usd").rows()


def test_duckdb_answers_as_find_does(archive: Path) -> None:
    (question,) = [block for block in BLOCKS if "read_parquet" in block]
    assert ARCHIVE in question
    rows = duckdb.sql(question.replace(ARCHIVE, str(archive))).fetchall()
    assert [one[:3] for one in rows] == answered(archive)
    assert [one[:2] for one in rows] == [("clip", "pour"), ("clip", "cup"), ("clip", "beans")]
    assert rows[1][2] == 2.0, "the newer listing is believed"


def test_the_question_for_bigquery_means_the_same(archive: Path) -> None:
    # No BigQuery is at hand; its SELECT is also DuckDB's, once table, file name and UTC are given as BigQuery has them.
    (block,) = [block for block in BLOCKS if "CREATE EXTERNAL TABLE" in block]
    _, _, question = block.partition(";")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA team")
        parts = PARTS.format(root=archive)
        view = "CREATE VIEW team.catalog AS SELECT *, filename AS _FILE_NAME FROM "
        connection.execute(view + parts)
        rows = connection.execute(question).fetchall()
    assert [one[:3] for one in rows] == answered(archive)


def test_the_external_table_is_partitioned_as_the_archive_is_laid_out(archive: Path) -> None:
    (block,) = [block for block in BLOCKS if "CREATE EXTERNAL TABLE" in block]
    prefix = re.search(r"hive_partition_uri_prefix = '(.*?)'", block)
    uris = re.search(r"uris = \['(.*?)'\]", block)
    assert prefix
    assert uris
    assert uris[1] == f"{prefix[1]}/*"
    assert prefix[1].endswith("/catalog")
    assert "dt" not in SCHEMA, "a partition column must not be in the files too"
    described = duckdb.sql("DESCRIBE FROM " + PARTS.format(root=archive)).fetchall()
    columns = {column: kind for column, kind, *_ in described}
    assert columns["dt"] == "DATE"
    assert columns["tags"] == "VARCHAR[]"
    assert columns["created"] == "TIMESTAMP WITH TIME ZONE"
