"""A server on loopback that answers everything and remembers who asked: for addresses that nobody is to follow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Recorder:
    """A server on loopback that answers everything and remembers who asked."""

    url: str
    seen: list[str] = field(default_factory=list)


@contextmanager
def recording(body: bytes) -> Iterator[Recorder]:
    """Answer every request on a port of loopback with these bytes."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815  as the library names it

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Recorder(f"127.0.0.1:{server.server_address[1]}", seen)
    server.shutdown()
    server.server_close()
