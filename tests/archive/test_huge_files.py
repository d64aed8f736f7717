"""Files of more than 4 GiB: no size is held in 32 bits, and none in memory. Run by `make slow`."""

from __future__ import annotations

import asyncio
import hashlib
import json
import resource
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from callsheet.archive.store import Stat, StoredFile
from callsheet.archive.store_local import LocalStore
from callsheet.files import Digests, digests
from tests.support.gcs_files import store_at

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SIZE = (1 << 32) + 5


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Digests]]:
    """A file of holes with five bytes at its end."""
    path = tmp_path_factory.mktemp("huge") / "huge.mp4"
    with path.open("wb") as stream:
        stream.seek(SIZE - 5)
        stream.write(b"finis")
    yield path, digests(path)
    path.unlink()


@pytest.mark.parametrize("link", [False, True], ids=["copy", "link"])
async def test_a_folder_takes_it(link: bool, huge: tuple[Path, Digests], tmp_path: Path) -> None:
    path, has = huge
    store = LocalStore(tmp_path, link=link)
    await store.put_file(
        path, StoredFile("a/huge.mp4", sha256=has.sha256, md5=has.md5, size=SIZE, content_type="video/mp4")
    )
    assert await store.stats("") == {"a/huge.mp4": Stat(SIZE, "")}
    assert await store.stat("a/huge.mp4") == Stat(SIZE, has.md5)
    (tmp_path / "a/huge.mp4").unlink()


class Sink:
    """A bucket that hashes what it is sent and keeps none of it."""

    def __init__(self) -> None:
        self.made: dict[str, str] | None = None
        self.told = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            return web.Response(headers={"Location": f"http://{request.host}/upload/session?upload_id=1"})
        if request.method == "GET":
            return web.json_response(self.made) if self.made else web.json_response({}, status=404)
        self.told = request.headers["Content-Range"]
        md5, size = hashlib.md5(usedforsecurity=False), 0
        async for piece in request.content.iter_any():
            md5.update(piece)
            size += len(piece)
        self.made = {"size": str(size), "md5Hash": b64encode(md5.digest()).decode(), "generation": "1"}
        return web.Response(text=json.dumps(self.made))


async def test_a_bucket_takes_it_and_little_memory_is_used(huge: tuple[Path, Digests]) -> None:
    path, has = huge
    sink, loop = Sink(), asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    url = asyncio.run_coroutine_threadsafe(_serve(sink), loop).result(10)
    store = store_at(url, "")
    assert await store.stat("warm") is None
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await store.put_file(
        path, StoredFile("a/huge.mp4", sha256=has.sha256, md5=has.md5, size=SIZE, content_type="video/mp4")
    )
    assert sink.told == f"bytes 0-{SIZE - 1}/{SIZE}"
    assert sink.made is not None
    assert sink.made["size"] == str(SIZE)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 64
    await store.aclose()
    loop.call_soon_threadsafe(loop.stop)


async def _serve(sink: Sink) -> str:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", sink.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"
