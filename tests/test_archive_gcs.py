"""gs:// against a real server program on loopback, with a proxy in front that breaks things as networks do."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tenacity import wait_none

from callsheet.archive.gcs import GcsStore
from callsheet.archive.store import Stat
from callsheet.errors import ArchiveConflict, ArchiveDenied, ArchiveError, SettingsError
from tests.gcs_proxy import Proxy

pytestmark = pytest.mark.usefixtures("gcsfs_at_once")

SMALL = b"picture" * 1000
LARGE = bytes(range(256)) * 4 * 1024 * 6  # 6 MiB: sent in chunks


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


async def put(store: GcsStore, folder: Path, name: str, data: bytes, **more: dict[str, str]) -> str:
    path = folder / "source"
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    return await store.put_file(
        path, name, sha256=sha256, md5=md5(data), size=len(data), content_type="image/png", **more
    )


@pytest.fixture
async def store(gcs_proxy: Proxy, tmp_path: Path) -> AsyncIterator[GcsStore]:
    store = GcsStore("bucket", tmp_path.name, emulator_host=gcs_proxy.url, wait=wait_none())
    yield store
    await store.aclose()


@pytest.mark.parametrize("data", [b"", SMALL, LARGE, b"\x89PNG\r\n\n--==0==--\nhidden" * 9], ids=len)
async def test_the_bytes_arrive_whole_and_can_be_stored_again(
    data: bytes, store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    uri = await put(store, tmp_path, "c/take-1.png", data)
    assert uri == f"{store.uri}/c/take-1.png"
    assert await store.stat("c/take-1.png") == Stat(len(data), md5(data))
    assert await store.read_bytes("c/take-1.png", len(data)) == data
    gcs_proxy.seen.clear()
    await put(store, tmp_path, "c/take-1.png", data)
    assert len(gcs_proxy.seen) == 1


async def test_type_and_lineage_are_kept_with_the_object(store: GcsStore, gcs_server: str, tmp_path: Path) -> None:
    for name, data in {"small.png": SMALL, "large.png": LARGE}.items():
        await put(store, tmp_path, name, data, metadata={"shot": "hero 1 é"})
        url = f"{gcs_server}/storage/v1/b/bucket/o/{tmp_path.name}%2F{name}"
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            found = await reply.json()
        assert found["contentType"] == "image/png"
        assert found["metadata"] == {"sha256": hashlib.sha256(data).hexdigest(), "shot": "hero 1 é"}


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["multipart", "resumable"])
@pytest.mark.parametrize("act", ["503", "429", "reset before", "reply lost", "truncated upload", "flipped byte"])
async def test_one_fault_in_an_upload_still_ends_with_the_right_bytes(
    act: str, data: bytes, store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.fault(act)
    await put(store, tmp_path, "c/take-1.png", data)
    assert await store.read_bytes("c/take-1.png", len(data)) == data
    assert gcs_proxy.faults == []


async def test_a_reply_lost_after_the_upload_is_not_sent_again(
    store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.fault("reply lost")
    await put(store, tmp_path, "take-1.png", SMALL)
    # gcsfs asks a second time by itself, create-only; the look afterwards finds our own good write.
    assert [line for line in gcs_proxy.seen if line.startswith("DELETE")] == []
    assert await store.list("") == ("take-1.png",)


async def test_damage_left_by_a_dead_run_is_replaced(store: GcsStore, gcs_proxy: Proxy, tmp_path: Path) -> None:
    impatient = GcsStore("bucket", tmp_path.name, emulator_host=gcs_proxy.url, wait=wait_none())
    gcs_proxy.forever = True
    gcs_proxy.fault("flipped byte")
    gcs_proxy.fault("403", method="DELETE")
    with pytest.raises(ArchiveDenied, match=r"storage\.objects\.delete"):
        await put(impatient, tmp_path, "take-1.png", SMALL)
    await impatient.aclose()
    gcs_proxy.faults.clear()
    assert (await store.stat("take-1.png")) != Stat(len(SMALL), md5(SMALL))
    await put(store, tmp_path, "take-1.png", SMALL)
    assert await store.read_bytes("take-1.png", len(SMALL)) == SMALL


async def test_other_bytes_under_the_name_are_a_conflict_and_stay(store: GcsStore, tmp_path: Path) -> None:
    await put(store, tmp_path, "take-1.png", b"first")
    with pytest.raises(ArchiveConflict, match="left as it is"):
        await put(store, tmp_path, "take-1.png", b"other")
    assert await store.read_bytes("take-1.png", 9) == b"first"


async def test_a_403_is_final_and_names_the_permission(store: GcsStore, gcs_proxy: Proxy, tmp_path: Path) -> None:
    gcs_proxy.forever = True
    gcs_proxy.fault("403")
    with pytest.raises(ArchiveDenied, match=r"storage\.objects\.create"):
        await put(store, tmp_path, "take-1.png", SMALL)
    assert [line.endswith("!403") for line in gcs_proxy.seen] == [False, True]
    gcs_proxy.fault("403", method="GET")
    with pytest.raises(ArchiveDenied, match=r"storage\.objects\.get and storage\.objects\.list"):
        await store.stat("take-1.png")
    with pytest.raises(ArchiveDenied, match=r"storage\.objects\.list"):
        await store.list("")


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["multipart", "resumable"])
async def test_a_missing_bucket_is_final(data: bytes, gcs_proxy: Proxy, tmp_path: Path) -> None:
    store = GcsStore("no-such-bucket", emulator_host=gcs_proxy.url, wait=wait_none())
    with pytest.raises(ArchiveDenied, match="gcloud storage buckets describe"):
        await put(store, tmp_path, "take-1.png", data)
    with pytest.raises(ArchiveDenied, match="gcloud storage buckets describe"):
        await store.put_bytes("plan.json", b"{}", "application/json")
    await store.aclose()


async def test_credentials_refused_for_good_are_final(store: GcsStore, gcs_proxy: Proxy, tmp_path: Path) -> None:
    gcs_proxy.forever = True
    gcs_proxy.fault("401")
    with pytest.raises(ArchiveDenied, match="gcloud auth application-default login"):
        await put(store, tmp_path, "take-1.png", SMALL)


async def test_endless_faults_end_with_an_error_that_says_so(store: GcsStore, gcs_proxy: Proxy, tmp_path: Path) -> None:
    gcs_proxy.forever = True
    gcs_proxy.fault("503")
    with pytest.raises(ArchiveError, match="gave up after 4 attempts"):
        await put(store, tmp_path, "take-1.png", SMALL)


@pytest.mark.parametrize("act", ["503", "reset before", "reply lost", "flipped byte"])
async def test_a_document_is_replaced_under_faults_too(act: str, store: GcsStore, gcs_proxy: Proxy) -> None:
    await store.put_bytes("plan.json", b"old", "application/json")
    gcs_proxy.fault(act)
    await store.put_bytes("plan.json", b"new" * 100, "application/json")
    assert await store.read_bytes("plan.json", 300) == b"new" * 100


@pytest.mark.parametrize("act", ["503", "cut download", "flipped download", "reset before"])
async def test_a_fetched_file_is_the_right_one_under_faults(
    act: str, store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    await put(store, tmp_path, "a/x.png", SMALL)
    gcs_proxy.faults.append((lambda request: "/download/" in request.path, act))
    target = tmp_path / "deep/copy.png"
    await store.get_file("a/x.png", target, sha256=hashlib.sha256(SMALL).hexdigest())
    assert target.read_bytes() == SMALL
    assert gcs_proxy.faults == []


async def test_wrong_bytes_are_never_fetched(store: GcsStore, tmp_path: Path) -> None:
    await put(store, tmp_path, "a/x.png", SMALL)
    target = tmp_path / "deep/copy.png"
    with pytest.raises(ArchiveError, match="gave up"):
        await store.get_file("a/x.png", target, sha256="0" * 64)
    with pytest.raises(ArchiveError, match="not in the archive"):
        await store.get_file("a/y.png", target, sha256="0" * 64)
    assert list(target.parent.iterdir()) == []


async def test_limits_and_absence_when_reading(store: GcsStore) -> None:
    await store.put_bytes("plan.json", b"12345", "application/json")
    with pytest.raises(ArchiveError, match="larger than the 4 bytes"):
        await store.read_bytes("plan.json", 4)
    with pytest.raises(ArchiveError, match="not in the archive"):
        await store.read_bytes("other.json", 4)
    assert await store.stat("other.json") is None


async def test_names_with_odd_characters_and_a_source_that_is_gone(store: GcsStore, tmp_path: Path) -> None:
    names = ("c/hero #1?/x.png", "c/日本 {0}/x.png", "c/%2F'q'/x.png")
    for name in names:
        await put(store, tmp_path, name, SMALL)
        assert await store.read_bytes(name, len(SMALL)) == SMALL
    assert await store.list("c/") == tuple(sorted(names))
    with pytest.raises(ArchiveError, match="could not be read"):
        await store.put_file(
            tmp_path / "gone", "c/y", sha256="0" * 64, md5="0" * 32, size=6 * 2**20, content_type="image/png"
        )
    with pytest.raises(ArchiveError, match="could not be read"):
        await store.put_file(tmp_path / "gone", "c/y", sha256="0" * 64, md5="0" * 32, size=6, content_type="image/png")


async def test_many_writes_at_once_stay_within_the_limit(store: GcsStore, gcs_proxy: Proxy, tmp_path: Path) -> None:
    await asyncio.gather(*(store.put_bytes(f"d/{n}.json", str(n).encode(), "text/plain") for n in range(40)))
    assert len(await store.list("d/")) == 40


async def test_a_name_cannot_leave_the_prefix(store: GcsStore) -> None:
    with pytest.raises(ArchiveError, match="Nothing was read or written"):
        await store.stat("../other/secret")


async def test_missing_credentials_are_told_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(SettingsError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        await GcsStore("bucket", wait=wait_none()).stat("x")


async def test_a_listing_tells_sizes_and_md5_in_a_request_per_page(
    store: GcsStore, proxy: Proxy, tmp_path: Path
) -> None:
    files = {"c/take-1.png": SMALL, "c/clip-1.mp4": LARGE, "c/empty.txt": b""}
    for name, data in files.items():
        await put(store, tmp_path, name, data)
    proxy.seen.clear()
    assert await store.stats("c/") == {name: Stat(len(data), md5(data)) for name, data in files.items()}
    assert len(proxy.seen) == 1


@pytest.mark.parametrize("data", [b"", SMALL, LARGE * 2], ids=len)
async def test_every_byte_is_hashed_also_when_the_connection_breaks(
    data: bytes, store: GcsStore, proxy: Proxy, tmp_path: Path
) -> None:
    await put(store, tmp_path, "clip-1.mp4", data)
    proxy.fault("reply lost", method="GET")
    found = await store.digests("clip-1.mp4")
    assert (found.sha256, found.md5, found.size) == (hashlib.sha256(data).hexdigest(), md5(data), len(data))


async def test_only_what_was_looked_at_is_removed(store: GcsStore, tmp_path: Path) -> None:
    await put(store, tmp_path, "take-1.png", SMALL)
    assert not await store.remove("take-1.png", Stat(3, md5(b"abc")))
    assert await store.stat("take-1.png") is not None
    assert await store.remove("take-1.png", Stat(len(SMALL), md5(SMALL)))
    assert await store.stat("take-1.png") is None
    assert not await store.remove("take-1.png", Stat(len(SMALL), md5(SMALL)))
