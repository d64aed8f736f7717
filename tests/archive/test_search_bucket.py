"""The catalogue in a bucket: written by many at once, searched through copies that are kept on this disk."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from callsheet.archive import parts
from callsheet.archive.catalogue import part_bytes, read_part, write_part
from callsheet.archive.layout import catalogue_part, shot_folder
from callsheet.archive.search import find
from callsheet.archive.search_query import Query
from callsheet.archive.store_gcs import GcsStore
from callsheet.errors import ArchiveDenied, ArchiveError
from callsheet.report.page import stills
from tests.support.catalogues import TODAY, row
from tests.support.gcs_files import store_at
from tests.support.gcs_proxy import Proxy
from tests.support.sidecars import shot

PARQUET = "application/vnd.apache.parquet"


@pytest.fixture
async def store(gcs_proxy: Proxy, tmp_path: Path) -> AsyncIterator[GcsStore]:
    store = store_at(gcs_proxy.url, tmp_path.name)
    yield store
    await store.aclose()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "home" / "cache"


def copies(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.parquet"))


async def put_part(store: GcsStore, number: int, *rows: dict[str, object]) -> str:
    name = catalogue_part("spring.live", TODAY - timedelta(days=number), number)
    await store.put_bytes(name, part_bytes(list(rows)), PARQUET)
    return name


async def test_writers_at_once_list_every_file_once_and_replace_nothing(store: GcsStore, cache: Path) -> None:
    wanted = [[shot("all"), shot(f"own-{number}")] for number in range(5)]
    names = await asyncio.gather(*(write_part(store, "spring.live", shots, TODAY, cache=cache) for shots in wanted))
    assert len(set(names)) == 5
    rows = [row for name in names for row in (await read_part(store, str(name))).iter_rows(named=True)]
    listed = [(row["shot"], row["file"]) for row in rows]
    assert len(listed) == len(set(listed)) == 6 * 4


async def test_what_is_found_lies_in_the_bucket_and_is_found_again_from_copies(
    store: GcsStore, gcs_proxy: Proxy, cache: Path
) -> None:
    for number in range(1, 5):
        await put_part(store, number, row(f"boat-{number}", usd=float(number)))
    found = await find(store, Query(shots=("boat-*",)), cache=cache)
    assert found.usd()["total"] == 10
    assert found.assets["uri"].str.starts_with(f"{store.uri}/spring/spring.live/shots/boat-").all()
    gcs_proxy.seen.clear()
    again = await find(store, Query(shots=("boat-*",)), cache=cache)
    assert again.assets.equals(found.assets)
    assert [line.split()[0] for line in gcs_proxy.seen] == ["list"]


async def test_a_part_that_changed_and_a_damaged_copy_are_fetched_again(store: GcsStore, cache: Path) -> None:
    name = await put_part(store, 1, row("before"))
    assert (await find(store, Query(), cache=cache)).assets["shot"].to_list() == ["before"]
    await put_part(store, 1, row("afterwards"))
    assert (await find(store, Query(), cache=cache)).assets["shot"].to_list() == ["afterwards"]
    for copy in copies(cache):
        copy.write_bytes(copy.read_bytes()[:-20])
    found = await find(store, Query(), cache=cache)
    assert (found.assets["shot"].to_list(), found.warnings) == (["afterwards"], ())
    assert name == catalogue_part("spring.live", TODAY - timedelta(days=1), 1)


async def test_copies_used_longest_ago_make_room(store: GcsStore, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 5):
        await put_part(store, number, row(f"boat-{number}"))
    await find(store, Query(), cache=cache)
    size = max(copy.stat().st_size for copy in copies(cache))
    monkeypatch.setattr(parts, "MAX_CACHE", 2 * size)
    assert (await find(store, Query(), cache=cache)).assets.height == 4
    assert 1 <= len(copies(cache)) <= 2


async def test_a_part_that_cannot_be_fetched_is_told_and_the_rest_is_found(
    store: GcsStore, gcs_proxy: Proxy, cache: Path
) -> None:
    for number in range(1, 4):
        await put_part(store, number, row(f"boat-{number}"))
    gcs_proxy.fault("403", on="media", times=None, name="spring.live-2")
    found = await find(store, Query(), cache=cache)
    assert sorted(found.assets["shot"]) == ["boat-1", "boat-3"]
    assert [warning.split()[0].rpartition("/")[2] for warning in found.warnings] == ["spring.live-2.parquet"]
    with pytest.raises(ArchiveDenied):
        await write_part(store, "spring.live", [shot()], TODAY, cache=cache)


async def test_when_no_part_can_be_fetched_the_reason_is_the_answer(
    store: GcsStore, gcs_proxy: Proxy, cache: Path
) -> None:
    await put_part(store, 1, row())
    gcs_proxy.fault("403", on="media", times=None)
    with pytest.raises(ArchiveDenied, match=r"storage\.objects\.get"):
        await find(store, Query(), cache=cache)


async def test_a_home_that_cannot_be_written_to_is_told(store: GcsStore) -> None:
    await put_part(store, 1, row())
    with pytest.raises(ArchiveError, match="CALLSHEET_HOME"):
        await find(store, Query(), cache=Path("/dev/null/cache"))


async def test_without_a_folder_for_copies_none_is_left(store: GcsStore) -> None:
    await put_part(store, 1, row())
    assert (await find(store, Query())).assets.height == 1


async def test_stills_of_a_bucket_become_part_of_the_page_and_what_is_damaged_is_left_out(store: GcsStore) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (1280, 720), "teal").save(picture, "PNG")
    shown, damaged, without = row("a", thumbnail="thumb-1.png"), row("b", thumbnail="thumb-1.png"), row("c")
    await store.put_bytes(f"{shot_folder('spring/spring.live', 'a')}/thumb-1.png", picture.getvalue(), "image/png")
    await store.put_bytes(f"{shot_folder('spring/spring.live', 'b')}/thumb-1.png", b"\x89PNG", "image/png")
    made = await stills(store, [shown, damaged, without])
    assert list(made) == [shown["sha256"]]
    assert made[str(shown["sha256"])].startswith("data:image/jpeg;base64,/9j/")
