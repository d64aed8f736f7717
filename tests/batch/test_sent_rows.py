"""Rows that came with a request: checked, archived, and read there by whoever goes on with the batch."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from callsheet.archive import layout
from callsheet.batch.prepare import read_request
from callsheet.batch.request import RunRequest
from callsheet.batch.sent_rows import archive_rows
from callsheet.errors import ManifestError
from callsheet.settings import Settings, load_settings
from tests.support.gcs_files import store_at
from tests.support.pictures import a_png

ROWS: list[dict[str, Any]] = [
    {"id": "cup", "prompt": "A cup on {cloth}", "takes": 1, "cloth": "linen"},
    {"id": "lamp", "prompt": "A lamp", "takes": 2, "tags": ["a", "b"]},
]
ORDER = RunRequest("", campaign="shop", edition="order-1")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home", archive=str(tmp_path / "archive"))


def archived(settings: Settings) -> list[str]:
    return [path.name for path in Path(settings.archive_uri).rglob("*") if path.is_file()]


def test_rows_are_archived_in_the_batch_and_read_there_as_its_manifest(settings: Settings) -> None:
    request = asyncio.run(archive_rows(ORDER, ROWS, settings))
    assert Path(request.manifest).parent == Path(settings.archive_uri) / "shop" / "shop.order-1.rehearsal"
    prepared = read_request(request, settings)
    batch = prepared.batch
    assert (batch.name, batch.manifest_uri) == ("shop.order-1.rehearsal", request.manifest)
    assert [shot.prompt for shot in prepared.shots] == ["A cup on linen", "A lamp"]
    assert asyncio.run(archive_rows(ORDER, ROWS, settings)) == request
    assert list((settings.home / "rows").iterdir()) == []
    other = asyncio.run(archive_rows(ORDER, ROWS[:1], settings))
    assert other.manifest != request.manifest
    assert len(archived(settings)) == 2


def test_rows_without_a_campaign_are_a_batch_named_by_their_hash(settings: Settings) -> None:
    request = asyncio.run(archive_rows(RunRequest(""), ROWS, settings))
    assert request.campaign == Path(request.manifest).stem
    assert read_request(request, settings).batch.campaign == request.campaign


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"id": "a", "prompt": "x", "takes": "many"}], r"rows\.csv:2: takes"),
        ([{"id": "a", "prompt": "x"}, {"id": "a", "prompt": "y"}], r"rows\.csv:3: id"),
        ([{"id": "a", "prompts": "x"}], "prompt"),
        ([{"prompt": "x" * 300_000}], "bytes"),
    ],
)
def test_rows_that_are_no_valid_sheet_are_refused_and_not_archived(
    settings: Settings, rows: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(ManifestError, match=words):
        asyncio.run(archive_rows(ORDER, rows, settings))
    assert archived(settings) == []


@pytest.mark.parametrize("column", ["reference_images", "last_frame", "logo"])
def test_files_of_rows_come_from_buckets_below_the_input_roots_only(
    settings: Settings, tmp_path: Path, column: str
) -> None:
    roots = tmp_path / "roots"
    roots.mkdir()
    (roots / "a.png").write_bytes(a_png())
    allowed = load_settings(home=settings.home, archive=settings.archive, input_roots=(str(roots), "gs://ours/in"))
    beside = Path(settings.archive_uri) / "shop" / "shop.order-1.rehearsal" / "a.png"
    beside.parent.mkdir(parents=True)
    beside.write_bytes(a_png())
    for place in (
        "a.png",
        str(roots / "a.png"),
        str(beside),
        f"file://{beside}",
        "/etc/passwd",
        "../a.png",
        "https://else.example/a.png",
        "gs://theirs/in/a.png",
        "gs://ours/in/../out/a.png",
        "gs://ours/inside/a.png",
        "{name}",
    ):
        row = {**ROWS[1], column: place, "motion_prompt": "It sways", "cuts": "16x9", "name": str(roots / "a.png")}
        with pytest.raises(ManifestError, match=column):
            asyncio.run(archive_rows(ORDER, [row], allowed))


def test_archived_rows_are_a_strangers_for_whoever_reads_them_later(settings: Settings) -> None:
    request = asyncio.run(archive_rows(ORDER, ROWS, settings))
    forged = Path(request.manifest)
    (forged.parent / "a.png").write_bytes(a_png())
    forged.write_text("id,prompt,takes,reference_images\na,x,1,a.png\n")
    with pytest.raises(ManifestError, match="outside"):
        read_request(request, settings)
    own = forged.parent / "own.csv"
    own.write_text(forged.read_text())
    assert read_request(replace(request, manifest=str(own)), settings).shots


def test_rows_are_archived_in_a_bucket_and_read_there(
    tmp_path: Path, gcs_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server)
    settings = load_settings(home=tmp_path / "home", archive="gs://bucket/sent")
    request = asyncio.run(archive_rows(ORDER, ROWS, settings))
    assert request.manifest.startswith("gs://bucket/sent/shop/shop.order-1.rehearsal/rows-")
    assert len(read_request(request, settings).shots) == 2
    names = asyncio.run(store_at(gcs_server, "sent").list(""))
    assert [layout.SENT_ROWS.fullmatch(name.rpartition("/")[2]) is not None for name in names] == [True]
