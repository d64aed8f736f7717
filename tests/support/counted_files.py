"""A web server of files that counts how often each is fetched."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class CountedFiles:
    """Files of a folder at a URL; `fetched` counts the GET requests by name."""

    url: str
    folder: Path
    fetched: Counter[str] = field(default_factory=Counter)

    def take_counts(self) -> dict[str, int]:
        """The counts since the last call."""
        counts = dict(self.fetched)
        self.fetched.clear()
        return counts


@contextmanager
def counted_files(folder: Path) -> Iterator[CountedFiles]:
    """Serve the folder's files until the end of the block."""
    files = CountedFiles("", folder)

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            files.fetched[self.path.removeprefix("/")] += 1
            super().do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    files.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield files
    server.shutdown()
    server.server_close()
