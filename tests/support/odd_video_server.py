"""A small HTTP server on loopback that answers as it is told, for what our rehearsal service never does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reply:
    """An answer. `cut`: the connection ends after so many bytes of the body. `drip`: these come one by one.

    `chunked`: in chunks, without its length. `closes`: the connection ends after it, which nothing in it says.
    """

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "application/json"
    cut: int | None = None
    drip: bool = False
    chunked: bool = False
    closes: bool = False

    @property
    def payload(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = Callable[[Asked], Reply]


@dataclass
class OddServer:
    """Answers by the first rule whose text is in "METHOD path"; a list is used up one by one, its last stays."""

    rules: dict[str, Reply | list[Reply] | Answer] = field(default_factory=dict)
    seen: list[Asked] = field(default_factory=list)
    url: str = ""

    def asked(self, text: str) -> list[Asked]:
        """The requests that a rule for this text would have answered."""
        return [one for one in self.seen if text in f"{one.method} {one.path}"]

    def _answer(self, asked: Asked) -> Reply:
        for text, rule in self.rules.items():
            if text in f"{asked.method} {asked.path}":
                if callable(rule):
                    return rule(asked)
                if isinstance(rule, list):
                    return rule.pop(0) if len(rule) > 1 else rule[0]
                return rule
        return Reply({"error": {"code": 404, "message": "No rule.", "status": "NOT_FOUND"}}, 404)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # At the end of a test a server that still drips is cancelled with its loop.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._exchange(reader, writer):
                pass
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        asked = Asked(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))
        self.seen.append(asked)
        reply = self._answer(asked)
        body = reply.payload
        framing = {"Transfer-Encoding": "chunked"} if reply.chunked else {"Content-Length": str(len(body))}
        lines = {"Content-Type": reply.kind, **framing, **reply.headers}
        if reply.chunked:
            pieces = [body[at : at + 100] for at in range(0, len(body), 100)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
        fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"HTTP/1.1 {reply.status} X\r\n{fields}\r\n".encode())
        if reply.drip:
            for byte in body:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.write(body[: reply.cut])
        await writer.drain()
        return reply.cut is None and not reply.closes


@contextlib.asynccontextmanager
async def odd_server() -> AsyncIterator[OddServer]:
    """The server, in this event loop, until the block ends."""
    it = OddServer()
    listening = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    it.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield it
    finally:
        listening.close()


def ranged(file: bytes, *, etag: str | None = '"a"', most: int | None = None, cut: int | None = None) -> Answer:
    """A file as a server gives it that knows ranges: at most `most` bytes a reply, the first one cut short."""
    given: list[int] = []

    def answer(asked: Asked) -> Reply:
        given.append(1)
        headers = {"ETag": etag} if etag else {}
        start = int(asked.headers["range"].removeprefix("bytes=").rstrip("-")) if "range" in asked.headers else None
        if start is not None and asked.headers.get("if-range", etag) != etag:
            start = None
        if start is None and most is None:
            return Reply(file, 200, headers, "video/mp4", cut if len(given) == 1 else None)
        part = file[start or 0 :][:most]
        end = (start or 0) + len(part) - 1
        return Reply(part, 206, {**headers, "Content-Range": f"bytes {start or 0}-{end}/{len(file)}"}, "video/mp4")

    return answer
