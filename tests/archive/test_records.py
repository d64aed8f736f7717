"""Sidecars, catalogue and success marker on a local archive."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from callsheet.archive.catalogue import catalogue_rows, part_bytes, read_part, write_part
from callsheet.archive.layout import sidecar_name
from callsheet.archive.marker import BatchEnd, mark_continuing, read_success, write_success
from callsheet.archive.parts import SCHEMA, Part, list_parts
from callsheet.archive.sidecar_io import read_sidecar, read_sidecars, sidecar_bytes, write_sidecar
from callsheet.archive.store_local import LocalStore
from callsheet.errors import ArchiveError
from tests.support.sidecars import NOW, shot

PREFIX = "spring/spring.live"
TODAY = date(2026, 11, 21)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


async def test_sidecars_come_back_in_the_manifests_order(store: LocalStore) -> None:
    written = [shot(f"shot/{n} é", line=100 - n) for n in range(50)]
    for sidecar in written:
        await write_sidecar(store, PREFIX, sidecar)
    await store.put_bytes(f"{PREFIX}/shots/other/notes.json", b"not a sidecar", "text/plain")
    assert await read_sidecars(store, PREFIX) == written[::-1]


async def test_an_unchanged_sidecar_is_not_written_again(store: LocalStore) -> None:
    name = sidecar_name(PREFIX, shot().shot)
    assert (await write_sidecar(store, PREFIX, shot()))[1] == hashlib.sha256(sidecar_bytes(shot())).hexdigest()
    later = shot(updated=NOW + timedelta(hours=1))
    assert (await write_sidecar(store, PREFIX, later))[1] is None
    assert await store.read_bytes(name, 10**6) == sidecar_bytes(shot())
    changed = later.model_copy(update={"usd": 9.0})
    await write_sidecar(store, PREFIX, changed)
    assert await read_sidecars(store, PREFIX) == [changed]


async def test_a_damaged_sidecar_is_told_and_replaced_by_the_next_write(store: LocalStore) -> None:
    name = sidecar_name(PREFIX, shot().shot)
    await write_sidecar(store, PREFIX, shot())
    await store.put_bytes(name, b'{"shot": 1', "application/json")
    with pytest.raises(ArchiveError, match="run the batch again"):
        await read_sidecar(store, name)
    assert await read_sidecars(store, PREFIX) == [], "the others go on without it"
    await write_sidecar(store, PREFIX, shot())
    assert await read_sidecars(store, PREFIX) == [shot()]


def test_every_file_has_a_row_and_money_stands_on_what_it_paid_for() -> None:
    rows = catalogue_rows(shot())
    assert all(set(row) == set(SCHEMA) for row in rows)
    told = [(row["kind"], row["file"], row["model"], row["usd"], row["parent"]) for row in rows]
    assert told == [
        ("take", "t.png", "gemini-3-pro-image", 0.134, None),
        ("clip", "c.mp4", "veo-3.1", 3.2, "t" * 64),
        ("poster", "p.jpg", "veo-3.1", 0.0, "c" * 64),
        ("cut", "v.mp4", "veo-3.1", 0.0, "c" * 64),
    ]
    assert json.loads(str(rows[1]["parameters"])) == {"resolution": "720p"}
    assert [row["prompt"] for row in rows] == ["A boat", "Drift", "Drift", "Drift"]


async def test_a_part_lists_only_what_earlier_parts_do_not(store: LocalStore) -> None:
    first = await write_part(store, "spring.live", [shot()], TODAY)
    assert first == "catalog/dt=2026-11-21/spring.live-1.parquet"
    assert await write_part(store, "spring.live", [shot()], TODAY) is None
    await write_part(store, "other.live", [shot(batch="other.live")], TODAY)
    second = await write_part(store, "spring.live", [shot(), shot("new", 3)], TODAY + timedelta(days=1))
    assert second == "catalog/dt=2026-11-22/spring.live-2.parquet"
    assert set((await read_part(store, second))["shot"]) == {"new"}
    assert await write_part(store, "empty.live", [], TODAY) is None


async def test_writers_at_once_end_with_a_part_each_and_every_file_listed_once(tmp_path: Path) -> None:
    # A store of its own each, as processes have; between them the same and different shots.
    wanted = [[shot("all"), shot(f"own-{number}", number)] for number in range(8)]
    stores = [LocalStore(tmp_path) for _ in wanted]
    names = await asyncio.gather(
        *(write_part(store, "spring.live", shots, TODAY) for store, shots in zip(stores, wanted, strict=True))
    )
    numbers = sorted(int(str(name).rpartition("-")[2].removesuffix(".parquet")) for name in names)
    assert numbers == list(range(1, 9))
    rows = [row for name in names for row in (await read_part(stores[0], str(name))).iter_rows(named=True)]
    listed = [(row["shot"], row["file"]) for row in rows]
    assert len(listed) == len(set(listed)) == 9 * 4


async def test_a_part_is_never_replaced(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    other = part_bytes(catalogue_rows(shot("other")))

    async def too_late(*_: object) -> tuple[list[Part], list[str]]:
        # What a listing saw before another writer took the number.
        found = await list_parts(store)
        if not found[0]:
            await store.put_bytes("catalog/dt=2026-11-21/spring.live-1.parquet", other, "application/x")
        return found

    monkeypatch.setattr("callsheet.archive.catalogue.list_parts", too_late)
    assert await write_part(store, "spring.live", [shot("other"), shot()], TODAY) == (
        "catalog/dt=2026-11-21/spring.live-2.parquet"
    )
    assert await store.read_bytes("catalog/dt=2026-11-21/spring.live-1.parquet", 10**6) == other
    second = await read_part(store, "catalog/dt=2026-11-21/spring.live-2.parquet")
    assert set(second["shot"]) == {"hero"}


async def test_parts_have_the_schema_even_where_columns_are_empty(store: LocalStore) -> None:
    name = await write_part(store, "spring.live", [shot(clips=(), cuts=(), tags=())], TODAY)
    assert name
    frame = pl.read_parquet(io.BytesIO(await store.read_bytes(name, 10**6)))
    assert dict(frame.schema) == SCHEMA
    assert frame.row(0, named=True)["created"] == NOW


async def test_what_a_damaged_part_listed_is_listed_anew_beside_it(
    store: LocalStore, caplog: pytest.LogCaptureFixture
) -> None:
    first = await write_part(store, "spring.live", [shot()], TODAY)
    assert first
    await store.put_bytes(first, b"PAR1 not", "text/plain")
    with pytest.raises(ArchiveError, match="Move it away"):
        await read_part(store, first)
    second = await write_part(store, "spring.live", [shot()], TODAY)
    assert second == "catalog/dt=2026-11-21/spring.live-2.parquet"
    assert (await read_part(store, second)).height == 4
    assert first in caplog.text
    assert await store.read_bytes(first, 100) == b"PAR1 not"
    assert await write_part(store, "spring.live", [shot()], TODAY) is None


async def test_the_marker_tells_how_complete_the_batch_is(store: LocalStore) -> None:
    sidecars = [shot(), shot("two", 3, state="blocked")]
    for sidecar in sidecars:
        await write_sidecar(store, PREFIX, sidecar)
    assert await read_success(store, PREFIX) is None
    marker = await write_success(store, PREFIX, sidecars, BatchEnd(catalogue="catalog/x.parquet", finished=NOW))
    assert await read_success(store, PREFIX) == marker
    assert (marker.status, marker.complete, marker.unfinished) == ("finished", False, ("two",))
    assert marker.shots == {"total": 2, "done": 1, "blocked": 1}
    assert [file.name for file in marker.sidecars] == [f"{PREFIX}/shots/{name}/shot.json" for name in ("hero", "two")]
    assert (await write_success(store, PREFIX, sidecars[:1], BatchEnd(catalogue=None, finished=NOW))).complete


async def test_new_work_takes_completeness_back(store: LocalStore) -> None:
    await mark_continuing(store, PREFIX)
    assert await read_success(store, PREFIX) is None
    await write_sidecar(store, PREFIX, shot())
    await write_success(store, PREFIX, [shot()], BatchEnd(catalogue=None, finished=NOW))
    await mark_continuing(store, PREFIX)
    marker = await read_success(store, PREFIX)
    assert marker
    assert (marker.status, marker.complete) == ("continuing", False)


async def test_a_marker_that_is_not_understood_is_told(store: LocalStore) -> None:
    await store.put_bytes(f"{PREFIX}/_SUCCESS.json", b"{}", "application/json")
    with pytest.raises(ArchiveError, match="written anew"):
        await read_success(store, PREFIX)
