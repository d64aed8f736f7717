"""A server on loopback that answers each prompt with the reply that a table has for it, and counts what it is asked.

The second request for a prompt is answered well, so that whoever asks again gets something, and is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

NAME = re.compile(r"reply (\S+)")


@dataclass(frozen=True)
class Wire:
    """A reply on the wire. `declared` is the Content-Length when it is not the body's, None; `cut` ends it early."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json; charset=UTF-8"})
    framing: str = "length"  # length, chunked, close
    beyond: int = 0  # how many bytes more than the body the Content-Length promises
    stall: bool = False  # nothing more comes, and the connection stays

    def message(self) -> bytes:
        """All of it."""
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in self.headers.items())]
        body = self.body
        if self.framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
            pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
            body += b"" if self.beyond else b"0\r\n\r\n"
        elif self.framing == "length":
            lines.append(f"Content-Length: {len(body) + self.beyond}")
        else:
            lines.append("Connection: close")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    @property
    def ends(self) -> bool:
        """Whether the connection ends with it."""
        return self.framing == "close" or self.beyond > 0


# The reply to the first request, or those to the first ones.
Answers = Wire | tuple[Wire, ...]


def zipped(wire: Wire) -> Wire:
    """The same reply, compressed."""
    return Wire(gzip.compress(wire.body), wire.status, {**wire.headers, "Content-Encoding": "gzip"})


@dataclass
class OddServer:
    """`answers` by the name that a prompt has after "reply"; `otherwise` is the reply to everything else.

    `files` are the replies to GETs by the last part of the path, one after another, the last for good; `fetched` counts
    them. What is not there is a 404.
    """

    answers: Mapping[str, Answers]
    otherwise: Callable[[], Wire]
    url: str = ""
    files: Mapping[str, Answers] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    fetched: Counter[str] = field(default_factory=Counter)
    is_stalled: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = re.search(r"content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                wire = self._file(head) if head.startswith("get ") else self._next(body)
                writer.write(wire.message())
                await writer.drain()
                if wire.stall:
                    self.is_stalled = True
                    await reader.read()
                if wire.ends:
                    break
        writer.close()

    def _file(self, head: str) -> Wire:
        name = head.split(maxsplit=2)[1].partition("?")[0].rpartition("/")[2]
        self.fetched[name] += 1
        script = self.files.get(name, Wire(b'{"error": {"code": 404, "status": "NOT_FOUND", "message": "m"}}', 404))
        wires = script if isinstance(script, tuple) else (script,)
        return wires[min(self.fetched[name], len(wires)) - 1]

    def _next(self, body: bytes) -> Wire:
        named = NAME.search(json.loads(body)["contents"][0]["parts"][0]["text"])
        name = named[1] if named else ""
        self.asked[name] += 1
        script = self.answers.get(name, ())
        wires = script if isinstance(script, tuple) else (script,)
        return wires[self.asked[name] - 1] if self.asked[name] <= len(wires) else self.otherwise()


@contextlib.asynccontextmanager
async def odd_server(answers: Mapping[str, Answers], otherwise: Callable[[], Wire]) -> AsyncIterator[OddServer]:
    """The server on a free port of loopback."""
    it = OddServer(answers, otherwise)
    listening = await asyncio.start_server(it.serve, "127.0.0.1", 0, limit=1 << 26)
    it.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield it
    finally:
        listening.close()
