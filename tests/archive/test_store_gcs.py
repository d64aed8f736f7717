"""gs:// against a real server program on loopback: what a store promises when nothing goes wrong."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from callsheet.archive.open import open_archive
from callsheet.archive.store import Stat, StoredFile
from callsheet.archive.store_gcs import GcsStore
from callsheet.errors import ArchiveConflict, ArchiveDenied, ArchiveError
from callsheet.gcs.access import GoogleAccess
from callsheet.gcs.bucket import Bucket
from callsheet.gcs.connection import connected, let_go
from callsheet.settings import Settings
from tests.support.gcs_files import AT_ONCE, LARGE, MIDDLING, SMALL, md5, put, sha256, store_at
from tests.support.gcs_proxy import Proxy

HIDDEN = b"\x89PNG\r\n\n--==0==--\nhidden\r\n--boundary--" * 9


@pytest.fixture
async def store(gcs_proxy: Proxy, tmp_path: Path) -> AsyncIterator[GcsStore]:
    store = store_at(gcs_proxy.url, tmp_path.name)
    yield store
    await store.aclose()


@pytest.mark.parametrize("data", [b"", SMALL, LARGE, HIDDEN], ids=len)
async def test_the_bytes_arrive_whole_and_can_be_stored_again(
    data: bytes, store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    uri = await put(store, tmp_path, "c/take-1.png", data)
    assert uri == f"{store.uri}/c/take-1.png"
    assert await store.stat("c/take-1.png") == Stat(len(data), md5(data))
    assert await store.read_bytes("c/take-1.png", len(data)) == data
    assert (await store.digests("c/take-1.png")).sha256 == sha256(data)
    await store.get_file("c/take-1.png", tmp_path / "copy", sha256=sha256(data))
    assert (tmp_path / "copy").read_bytes() == data
    assert await put(store, tmp_path, "c/take-1.png", data) == uri


async def test_a_new_file_costs_one_request_and_a_large_one_three(
    store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    await put(store, tmp_path, "small.png", SMALL)
    assert gcs_proxy.count("upload") == len(gcs_proxy.seen) == 1
    await put(store, tmp_path, "large.png", LARGE)
    assert [line.split()[0] for line in gcs_proxy.seen[1:]] == ["find", "begin", "upload"]
    await put(store, tmp_path, "large.png", LARGE)
    assert len(gcs_proxy.seen) == 5, "what is there is not sent again"


async def test_type_name_and_lineage_are_kept_with_the_object(store: GcsStore, gcs_server: str, tmp_path: Path) -> None:
    about = {"campaign": "Frühling", "batch": "b.live", "shot": "hero 1 日本"}
    for name, data in {"small.png": SMALL, "large.png": LARGE}.items():
        await put(store, tmp_path, name, data, metadata=about, download_name='hero "1" 日本/take 1.png')
        url = f"{gcs_server}/storage/v1/b/bucket/o/{tmp_path.name}%2F{name}"
        found = httpx2.get(url, trust_env=False).json()
        assert found["contentType"] == "image/png"
        assert found["metadata"] == {"sha256": sha256(data), **about}
        assert found["contentDisposition"] == (
            "inline; filename=\"hero _1_ __take 1.png\"; filename*=UTF-8''hero%20_1_%20%E6%97%A5%E6%9C%AC_take%201.png"
        )


async def test_documents_are_replaced_and_not_handed_out_from_caches(store: GcsStore, gcs_server: str) -> None:
    await store.put_bytes("plan.json", b"old", "application/json")
    uri = await store.put_bytes("plan.json", b"new", "application/json")
    assert await store.read_bytes("plan.json", 3) == b"new"
    url = f"{gcs_server}/storage/v1/b/bucket/o/{uri.removeprefix('gs://bucket/').replace('/', '%2F')}"
    assert httpx2.get(url, trust_env=False).json()["cacheControl"] == "no-cache"


@pytest.mark.usefixtures("early_sessions")
@pytest.mark.parametrize("data", [SMALL, MIDDLING], ids=["multipart", "session"])
async def test_other_bytes_under_the_name_are_a_conflict_and_stay(data: bytes, store: GcsStore, tmp_path: Path) -> None:
    await put(store, tmp_path, "take-1.png", data)
    with pytest.raises(ArchiveConflict, match="left as it is"):
        await put(store, tmp_path, "take-1.png", data[::-1])
    assert await store.read_bytes("take-1.png", len(data)) == data


@pytest.mark.usefixtures("early_sessions")
@pytest.mark.parametrize("data", [SMALL, MIDDLING], ids=["multipart", "session"])
async def test_of_twenty_writers_with_the_same_bytes_all_succeed(data: bytes, store: GcsStore, tmp_path: Path) -> None:
    await asyncio.gather(*(put(store, tmp_path, "take-1.png", data) for _ in range(20)))
    assert await store.stats("") == {"take-1.png": Stat(len(data), md5(data))}


@pytest.mark.usefixtures("early_sessions")
@pytest.mark.parametrize("size", [1000, len(MIDDLING)], ids=["multipart", "session"])
async def test_of_twenty_writers_with_different_bytes_one_succeeds(size: int, store: GcsStore, tmp_path: Path) -> None:
    contents = [bytes([n]) * size for n in range(20)]
    ended = await asyncio.gather(
        *(put(store, tmp_path, "take-1.png", data) for data in contents), return_exceptions=True
    )
    (winner,) = [data for data, end in zip(contents, ended, strict=True) if isinstance(end, str)]
    assert sum(isinstance(end, ArchiveConflict) for end in ended) == 19
    assert await store.read_bytes("take-1.png", size) == winner


async def test_names_with_odd_characters_are_kept_as_they_are(store: GcsStore, tmp_path: Path) -> None:
    names = ("c/hero #1?/x.png", "c/日本 {0}/x.png", "c/%2F'q'/x+y.png", f"c/{'é' * 100}/x.png", f"c/{'x' * 200}/x.png")
    for name in names:
        await put(store, tmp_path, name, SMALL)
        assert await store.read_bytes(name, len(SMALL)) == SMALL
    await put(store, tmp_path, "c/日本 &=#+{0}/large.mp4", LARGE)
    assert set(await store.list("c/")) == {*names, "c/日本 &=#+{0}/large.mp4"}


async def test_a_listing_goes_by_string_prefix_over_all_pages(
    store: GcsStore, gcs_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.gather(*(store.put_bytes(f"d/{n}.json", str(n).encode(), "text/plain") for n in range(7)))
    await store.put_bytes("e", b"", "text/plain")

    async def page(bucket: Bucket, prefix: str, token: str | None) -> object:
        names, _ = await whole_page(bucket, prefix, None)
        half = sorted(names)[: len(names) // 2] if token is None else sorted(names)[len(names) // 2 :]
        return {name: names[name] for name in half}, "second" if token is None else None

    whole_page = Bucket.page
    monkeypatch.setattr(Bucket, "page", page)
    assert await store.list("d/") == tuple(f"d/{n}.json" for n in range(7))
    assert await store.list("nowhere/") == ()


async def test_the_archives_folders_are_listed_without_what_is_in_them(store: GcsStore, gcs_proxy: Proxy) -> None:
    await asyncio.gather(*(store.put_bytes(f"{name}/x/{n}", b"", "text/plain") for name in "ab" for n in range(3)))
    await store.put_bytes("lone.json", b"", "text/plain")
    before = len(gcs_proxy.seen)
    assert await store.top_folders() == ("a", "b")
    assert len(gcs_proxy.seen) == before + 1


async def test_what_is_absent_or_too_large_is_told(store: GcsStore, tmp_path: Path) -> None:
    await store.put_bytes("plan.json", b"12345", "application/json")
    with pytest.raises(ArchiveError, match="larger than the 4 bytes"):
        await store.read_bytes("plan.json", 4)
    for reading in (
        store.read_bytes("other.json", 4),
        store.digests("other.json"),
        store.get_file("other.json", tmp_path / "copies/copy", sha256="0" * 64),
    ):
        with pytest.raises(ArchiveError, match=r"other\.json is not in the archive"):
            await reading
    assert list((tmp_path / "copies").iterdir()) == []
    assert await store.stat("other.json") is None


async def test_a_source_that_is_gone_or_is_not_what_was_declared_is_not_stored(store: GcsStore, tmp_path: Path) -> None:
    for size in (6, len(LARGE)):
        with pytest.raises(ArchiveError, match=r"gone could not be read: No such file"):
            await store.put_file(
                tmp_path / "gone", StoredFile("c/y", sha256="0" * 64, md5="0" * 32, size=size, content_type="image/png")
            )
    for data in (SMALL, LARGE):
        source = tmp_path / "source"
        source.write_bytes(data[:-1] + b"X")
        with pytest.raises(ArchiveError, match="is not what was declared"):
            await store.put_file(
                source, StoredFile("c/y", sha256=sha256(data), md5=md5(data), size=len(data), content_type="image/png")
            )
        source.write_bytes(data[:-1])
        with pytest.raises(ArchiveError, match="shorter than it was"):
            await store.put_file(
                source, StoredFile("c/y", sha256=sha256(data), md5=md5(data), size=len(data), content_type="image/png")
            )
    assert await store.list("") == ()


async def test_only_what_was_found_is_removed(store: GcsStore) -> None:
    await store.put_bytes("a", b"one", "text/plain")
    assert not await store.remove("a", Stat(3, md5(b"two")))
    assert await store.remove("a", Stat(3, md5(b"one")))
    assert not await store.remove("a", Stat(3, md5(b"one")))


async def test_what_was_stored_compressed_by_others_is_read_as_what_it_is(
    store: GcsStore, gcs_server: str, tmp_path: Path
) -> None:
    about = {"name": f"{tmp_path.name}/copy.json", "contentEncoding": "gzip"}
    frame = b"--x\r\nContent-Type: application/json\r\n\r\n%s\r\n--x\r\nContent-Type: text/plain\r\n\r\n%s\r\n--x--\r\n"
    httpx2.post(
        f"{gcs_server}/upload/storage/v1/b/bucket/o?uploadType=multipart",
        content=frame % (json.dumps(about).encode(), gzip.compress(SMALL)),
        headers={"Content-Type": "multipart/related; boundary=x"},
        trust_env=False,
    ).raise_for_status()
    assert await store.read_bytes("copy.json", len(SMALL)) == SMALL
    await store.get_file("copy.json", tmp_path / "copy", sha256=sha256(SMALL))
    assert (tmp_path / "copy").read_bytes() == SMALL


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["multipart", "session"])
async def test_a_missing_bucket_is_final(data: bytes, gcs_proxy: Proxy, tmp_path: Path) -> None:
    store = store_at(gcs_proxy.url, "", bucket="no-such-bucket")
    for doing in (
        put(store, tmp_path, "take-1.png", data),
        store.put_bytes("plan.json", b"{}", "application/json"),
        store.list(""),
    ):
        gcs_proxy.seen.clear()
        with pytest.raises(ArchiveDenied, match="gcloud storage buckets describe gs://no-such-bucket"):
            await doing
        assert len(gcs_proxy.seen) <= 2
    await store.aclose()


async def test_writes_at_once_are_bounded(store: GcsStore, gcs_proxy: Proxy, tmp_path: Path) -> None:
    await asyncio.gather(*(store.put_bytes(f"d/{n}.json", str(n).encode(), "text/plain") for n in range(60)))
    assert 2 <= gcs_proxy.most_at_once <= 8
    assert len(await store.list("d/")) == 60


async def test_the_loop_goes_on_while_a_large_file_is_sent(store: GcsStore, tmp_path: Path) -> None:
    loop, longest = asyncio.get_running_loop(), 0.0

    async def heartbeat() -> None:
        nonlocal longest
        while True:
            before = loop.time()
            await asyncio.sleep(0.005)
            longest = max(longest, loop.time() - before)

    beating = asyncio.create_task(heartbeat())
    await put(store, tmp_path, "large.mp4", LARGE * 2)
    beating.cancel()
    assert longest < 0.25


async def test_a_name_cannot_leave_the_prefix(store: GcsStore) -> None:
    with pytest.raises(ArchiveError, match="Nothing was read or written"):
        await store.stat("../other/secret")


async def test_all_stores_of_a_loop_share_one_gcsfs_until_the_last_is_closed(gcs_server: str) -> None:
    access = GoogleAccess(gcs_server)
    first, second = (GcsStore("bucket", prefix, access=access, patience=AT_ONCE) for prefix in "ab")
    await asyncio.gather(first.put_bytes("x", b"1", "text/plain"), second.put_bytes("x", b"2", "text/plain"))
    shared = connected(access)
    files = await shared.files()
    assert shared.users == 3
    await first.aclose()
    assert await second.read_bytes("x", 1) == b"2"
    assert await shared.files() is files
    await second.aclose()
    await let_go(shared)
    assert files.session.closed
    assert connected(access) is not shared


def test_a_store_serves_one_loop_after_another(gcs_server: str) -> None:
    async def once() -> bytes:
        store = store_at(gcs_server, "loops")
        await store.put_bytes("x", b"1", "text/plain")
        data = await store.read_bytes("x", 1)
        await store.aclose()
        return data

    assert asyncio.run(once()) == asyncio.run(once()) == b"1"


@pytest.mark.parametrize("scheme", ["", "http://"])
async def test_the_emulator_of_the_settings_is_used_with_or_without_a_scheme(scheme: str, gcs_server: str) -> None:
    host = gcs_server.removeprefix("http://")
    store = open_archive(Settings(archive="gs://bucket/team/", storage_emulator_host=f"{scheme}{host}"))
    assert await store.put_bytes("x", b"1", "text/plain") == "gs://bucket/team/x"
    await store.aclose()
