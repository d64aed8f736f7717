"""Close a caller's connection for real: a failure that no HTTP answer can play."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

Address = tuple[str, int]


class Connections:
    """The open connections by the caller's address."""

    def __init__(self) -> None:
        self._open: dict[Address, asyncio.Transport] = {}

    def protocol(self) -> type[H11Protocol]:
        """Return uvicorn's protocol, extended to note its connection.

        For `uvicorn.Config(http=...)`.
        """
        known = self._open

        class NotedProtocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                self.noted: Address = transport.get_extra_info("peername")[:2]
                known[self.noted] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                known.pop(self.noted, None)
                super().connection_lost(exc)

        return NotedProtocol

    def abort(self, client: Address) -> None:
        """Close at once; nothing more is sent.

        A connection that the caller closed already is fine.
        """
        if client in self._open:
            self._open[client].abort()

    def close(self, client: Address) -> None:
        """Close after what was already written.

        A connection that the caller closed already is fine.
        """
        if client in self._open:
            self._open[client].close()


class Dropped(Response):
    """No answer at all: the connection is closed."""

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the connection before any byte is sent."""
        self._connections.abort(scope["client"])


class CutShort(Response):
    """Headers that promise the whole body, half of it, and a closed connection."""

    def __init__(self, whole: Response, connections: Connections) -> None:
        self._whole, self._connections = whole, connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half and close."""
        start = {"type": "http.response.start", "status": self._whole.status_code, "headers": self._whole.raw_headers}
        await send(start)
        body = bytes(self._whole.body)
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        self._connections.close(scope["client"])
