"""gs:// behind a proxy that breaks things: the bytes are right in the end, or a clear error and nothing half done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callsheet.archive.store import Stat
from callsheet.archive.store_gcs import GcsStore
from callsheet.errors import ArchiveDenied, ArchiveError
from callsheet.gcs.access import Outage, RetryLimits, RetryLoop, WriteInDoubt
from tests.support.gcs_files import AT_ONCE, IMPATIENT, MIDDLING, SMALL, md5, put, sha256, store_at
from tests.support.gcs_proxy import Proxy

pytestmark = pytest.mark.usefixtures("early_sessions")

KINDS = pytest.mark.parametrize("data", [SMALL, MIDDLING], ids=["multipart", "session"])
# What an answer or its absence may be, whatever was asked.
ANSWERS = [
    "408",
    "429",
    "500",
    "503",
    "html 502",
    "html answer",
    "truncated answer",
    "401",
    "reset before",
    "reply lost",
]
STALLS = ["stall", "dribble"]
UPLOADS = [*ANSWERS, *STALLS, "reset in body", "stall after", "truncated upload", "flipped upload"]


@pytest.fixture
async def store(gcs_proxy: Proxy, tmp_path: Path) -> AsyncIterator[GcsStore]:
    store = store_at(gcs_proxy.url, tmp_path.name)
    yield store
    await store.aclose()


@pytest.fixture
async def impatient(gcs_proxy: Proxy, tmp_path: Path) -> AsyncIterator[GcsStore]:
    store = store_at(gcs_proxy.url, tmp_path.name, IMPATIENT)
    yield store
    await store.aclose()


async def assert_whole(store: GcsStore, proxy: Proxy, data: bytes) -> None:
    assert proxy.faults == [], "the fault happened"
    assert await store.read_bytes("take-1.png", len(data)) == data
    assert await store.stats("") == {"take-1.png": Stat(len(data), md5(data))}


@pytest.mark.long
@KINDS
@pytest.mark.parametrize("act", UPLOADS)
async def test_one_fault_in_an_upload_ends_with_the_right_bytes(
    act: str, data: bytes, impatient: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.fault(act)
    await put(impatient, tmp_path, "take-1.png", data)
    await assert_whole(impatient, gcs_proxy, data)
    assert gcs_proxy.count("delete") == 0, "a server that checks the md5 keeps nothing wrong"


@pytest.mark.parametrize("act", [*ANSWERS[:6], *ANSWERS[7:], "stall"])
async def test_one_fault_when_a_session_is_begun_ends_with_the_right_bytes(
    act: str, impatient: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.fault(act, on="begin")
    await put(impatient, tmp_path, "take-1.png", MIDDLING)
    await assert_whole(impatient, gcs_proxy, MIDDLING)


@pytest.mark.parametrize("act", [*ANSWERS, *STALLS])
async def test_one_fault_when_looking_ends_with_the_right_bytes(
    act: str, impatient: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.fault("reply lost")
    gcs_proxy.fault(act, on="find")
    await put(impatient, tmp_path, "take-1.png", SMALL)
    await assert_whole(impatient, gcs_proxy, SMALL)
    assert gcs_proxy.count("upload") == 1, "it was there, and was not sent again"


async def test_a_session_goes_on_where_it_was_interrupted(store: GcsStore, gcs_proxy: Proxy, tmp_path: Path) -> None:
    for _ in range(6):  # more often than a failure without progress is allowed
        gcs_proxy.fault("reset in body")
    gcs_proxy.fault("503", on="ask")
    await put(store, tmp_path, "take-1.png", MIDDLING * 9)
    await assert_whole(store, gcs_proxy, MIDDLING * 9)
    assert gcs_proxy.count("begin") == 1


@pytest.mark.parametrize("act", ["session lost", "400", "410", "416"])
@pytest.mark.parametrize("on", ["upload", "ask"])
async def test_a_lost_session_is_begun_anew(
    act: str, on: str, store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    if on == "ask":
        gcs_proxy.fault("reset in body")
    gcs_proxy.fault(act, on=on)
    await put(store, tmp_path, "take-1.png", MIDDLING)
    await assert_whole(store, gcs_proxy, MIDDLING)
    assert gcs_proxy.count("begin") == 2


@pytest.mark.parametrize("kept", ["308 all", "308 none"])
async def test_a_session_that_never_ends_is_given_up(
    kept: str, store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.fault(kept, on="upload", times=None)
    gcs_proxy.fault(kept, on="ask", times=None)
    with pytest.raises(ArchiveError, match=r"gave up after \d attempts.*goes no further"):
        await put(store, tmp_path, "take-1.png", MIDDLING)


async def test_a_session_at_a_host_that_only_the_emulator_knows_is_reached(
    store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.session_host = "http://0.0.0.0:4443"
    await put(store, tmp_path, "take-1.png", MIDDLING)
    await assert_whole(store, gcs_proxy, MIDDLING)


@pytest.mark.long
@KINDS
@pytest.mark.parametrize("hashes", [("md5Hash", "crc32c"), ("crc32c",), ()], ids=lambda hashes: "+".join(hashes))
@pytest.mark.parametrize("act", ["truncated upload", "flipped upload", "reply lost"])
async def test_a_server_that_believes_what_arrives_and_tells_few_hashes_is_corrected(
    act: str, hashes: tuple[str, ...], data: bytes, store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.checks_md5, gcs_proxy.hashes = False, hashes
    gcs_proxy.fault(act)
    await put(store, tmp_path, "take-1.png", data)
    await assert_whole(store, gcs_proxy, data)
    assert gcs_proxy.count("delete") == (act != "reply lost"), "exactly what was wrong was deleted"


@pytest.mark.long
@KINDS
@pytest.mark.parametrize(
    "act", ["503", "429", "html answer", "reset before", "reset in body", "stall", "flipped upload"]
)
async def test_endless_faults_end_with_an_error_that_says_so_and_no_object(
    act: str, data: bytes, impatient: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.fault(act, times=None)
    with pytest.raises(ArchiveError, match=r"gave up after \d attempts in \d s; the last one: .*run again"):
        await put(impatient, tmp_path, "take-1.png", data)
    gcs_proxy.faults.clear()
    assert await impatient.list("") == ()


async def test_a_server_that_damages_everything_leaves_nothing_damaged_behind(
    store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.checks_md5 = False
    gcs_proxy.fault("flipped upload", times=None)
    with pytest.raises(ArchiveError, match=r"was damaged .* and was deleted"):
        await put(store, tmp_path, "take-1.png", SMALL)
    assert await store.list("") == ()


async def test_damage_that_may_not_be_deleted_is_told_and_mended_by_the_next_run(
    store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.checks_md5 = False
    gcs_proxy.fault("flipped upload")
    gcs_proxy.fault("403", on="delete")
    with pytest.raises(ArchiveDenied, match=r"storage\.objects\.delete"):
        await put(store, tmp_path, "take-1.png", SMALL)
    await put(store, tmp_path, "take-1.png", SMALL)
    await assert_whole(store, gcs_proxy, SMALL)


@KINDS
async def test_a_403_is_final_at_once_and_names_the_permission(
    data: bytes, store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    kind = "upload" if data == SMALL else "begin"
    gcs_proxy.fault("403", on=kind, times=None)
    with pytest.raises(ArchiveDenied, match=r"Grant this account storage\.objects\.create on the bucket"):
        await put(store, tmp_path, "take-1.png", data)
    assert gcs_proxy.count(kind) == 1


async def test_a_403_when_reading_names_its_own_permission(store: GcsStore, gcs_proxy: Proxy, tmp_path: Path) -> None:
    await put(store, tmp_path, "take-1.png", SMALL)
    for kind, doing in {
        "find": lambda: store.stat("take-1.png"),
        "media": lambda: store.read_bytes("take-1.png", 9999),
        "list": lambda: store.list(""),
    }.items():
        gcs_proxy.fault("403", on=kind)
        permission = "list" if kind == "list" else "get"
        with pytest.raises(ArchiveDenied, match=rf"storage\.objects\.{permission}"):
            await doing()
        assert gcs_proxy.faults == []


async def test_a_401_for_good_is_final_after_one_fresh_token(store: GcsStore, gcs_proxy: Proxy, tmp_path: Path) -> None:
    gcs_proxy.fault("401", times=None)
    with pytest.raises(ArchiveDenied, match=r"refused twice.*gcloud auth application-default login"):
        await put(store, tmp_path, "take-1.png", SMALL)
    assert gcs_proxy.count("upload") == 2


@pytest.mark.parametrize("act", ["403", "503"])
async def test_one_file_that_fails_for_good_stops_none_of_the_other_39(
    act: str, store: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    gcs_proxy.fault(act, times=None, name="take-7.")
    names = [f"take-{n}.png" for n in range(40)]
    ended = await asyncio.gather(*(put(store, tmp_path, name, name.encode()) for name in names), return_exceptions=True)
    assert [name for name, end in zip(names, ended, strict=True) if not isinstance(end, str)] == ["take-7.png"]
    assert isinstance(ended[7], ArchiveError)
    expected = {name: Stat(len(name), md5(name.encode())) for name in names if name != "take-7.png"}
    assert await store.stats("") == expected


@pytest.mark.parametrize("act", UPLOADS)
async def test_a_document_is_replaced_under_faults_too(act: str, impatient: GcsStore, gcs_proxy: Proxy) -> None:
    await impatient.put_bytes("take-1.png", b"old", "application/json")
    gcs_proxy.checks_md5 = False
    gcs_proxy.fault(act)
    await impatient.put_bytes("take-1.png", SMALL, "application/json")
    await assert_whole(impatient, gcs_proxy, SMALL)


DOWNLOADS = [
    "503",
    "html 502",
    "401",
    "reset before",
    "stall",
    "cut media",
    "short media",
    "flipped media",
    "swollen media",
]


@pytest.mark.parametrize("act", DOWNLOADS)
async def test_what_is_fetched_is_right_under_faults(
    act: str, impatient: GcsStore, gcs_proxy: Proxy, tmp_path: Path
) -> None:
    await put(impatient, tmp_path, "take-1.png", MIDDLING)
    target = tmp_path / "deep/copy.png"
    for fetching in (
        lambda: impatient.get_file("take-1.png", target, sha256=sha256(MIDDLING)),
        lambda: impatient.read_bytes("take-1.png", len(MIDDLING)),
    ):
        gcs_proxy.fault(act, on="media")
        data = await fetching()
        assert (data or target.read_bytes()) == MIDDLING
        assert gcs_proxy.faults == []
    assert [file.name for file in target.parent.iterdir()] == ["copy.png"]


async def test_a_download_goes_on_where_it_was_interrupted(store: GcsStore, gcs_proxy: Proxy, tmp_path: Path) -> None:
    await put(store, tmp_path, "take-1.png", MIDDLING * 8)
    for _ in range(6):
        gcs_proxy.fault("cut media", on="media")
    assert (await store.digests("take-1.png")).md5 == md5(MIDDLING * 8)
    asked = [line for line in gcs_proxy.seen if line.startswith("media")]
    assert len(asked) == 7
    assert all("bytes=" in line for line in asked[1:])


async def test_wrong_bytes_are_never_fetched(store: GcsStore, gcs_proxy: Proxy, tmp_path: Path) -> None:
    await put(store, tmp_path, "take-1.png", SMALL)
    target = tmp_path / "deep/copy.png"
    with pytest.raises(ArchiveError, match=f"gave up after .* the bytes received have the sha256 {sha256(SMALL)}"):
        await store.get_file("take-1.png", target, sha256="0" * 64)
    gcs_proxy.fault("flipped media", on="media", times=None)
    with pytest.raises(ArchiveError, match="gave up after"):
        await store.read_bytes("take-1.png", len(SMALL))
    assert list(target.parent.iterdir()) == []


async def test_a_document_that_is_replaced_while_it_is_read_comes_whole(store: GcsStore, gcs_proxy: Proxy) -> None:
    await store.put_bytes("plan.json", b"old" * 1000, "application/json")
    gcs_proxy.fault("stall", on="media")
    slow = store_at(
        gcs_proxy.url, store.uri.removeprefix("gs://bucket/"), RetryLimits(stall_s=0.3, attempts=4, pause_s=0)
    )
    reading = asyncio.create_task(slow.read_bytes("plan.json", 9999))
    await asyncio.sleep(0.15)
    await store.put_bytes("plan.json", b"new" * 900, "application/json")
    assert await reading == b"new" * 900
    await slow.aclose()


@pytest.mark.parametrize("act", [*ANSWERS, *STALLS])
async def test_looking_and_listing_outlast_a_fault(act: str, impatient: GcsStore, gcs_proxy: Proxy) -> None:
    await impatient.put_bytes("plan.json", b"1", "application/json")
    async with asyncio.timeout(4):
        gcs_proxy.fault(act, on="list")
        assert await impatient.list("") == ("plan.json",)
        gcs_proxy.fault(act, on="find")
        assert await impatient.stat("plan.json") == Stat(1, md5(b"1"))
    assert gcs_proxy.faults == []


async def test_a_server_that_is_down_is_waited_for_once_and_not_once_a_file(tmp_path: Path) -> None:
    store = store_at(
        "127.0.0.1:9", tmp_path.name, RetryLimits(attempts=4, give_up_s=0.3, pause_s=0.2, longest_pause_s=0.2)
    )
    with pytest.raises(ArchiveError, match="gave up after"):
        await put(store, tmp_path, "take-1.png", SMALL)
    await asyncio.sleep(0.3)
    for n in range(20):
        with pytest.raises(ArchiveError, match="gave up after 1 attempt "):
            await put(store, tmp_path, f"take-{n}.png", SMALL)
    await store.aclose()


async def test_failures_between_which_there_is_progress_are_not_added_up() -> None:
    effort = RetryLoop("gs://b/o", AT_ONCE, Outage())
    tries = 0

    async def attempt() -> int:
        nonlocal tries
        tries += 1
        effort.progress()
        if tries < 20:
            raise WriteInDoubt("HTTP 503")
        return tries

    assert await effort.of(attempt) == 20


def test_pauses_grow_and_are_bounded() -> None:
    patience = RetryLimits(pause_s=1, longest_pause_s=10)
    for failures, most in [(1, 2), (2, 4), (3, 8), (4, 10), (60, 10)]:
        pauses = [patience.pause(failures) for _ in range(200)]
        assert most / 2 < max(pauses) <= most
        assert len(set(pauses)) > 100, "not all at the same time"
