"""Servers on loopback that a rehearsal may meet instead of its service: gateways in front of Google, with their key."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

import httpx2
from PIL import Image

from callsheet.rehearsal_proof import NAME

_OPERATION = "models/veo-3.1-generate-preview/operations/abc123"
# Where Google, and whoever stands in front of it, takes requests.
_PAID = re.compile(r"/v1(beta|beta1|alpha)?/.*:(generateContent|predictLongRunning)(\?.*)?")


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Said:
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


Answering = Callable[[Asked], Said]


def as_google(asked: Asked) -> Said:
    """What a gateway with a key of its own answers: pictures and operations, each paid for by its owner."""
    if "generateContent" in asked.path:
        image = io.BytesIO()
        Image.effect_noise((64, 64), 90).save(image, "PNG")
        inline = {"mimeType": "image/png", "data": base64.b64encode(image.getvalue()).decode()}
        return _json({"candidates": [{"content": {"parts": [{"inlineData": inline}]}, "finishReason": "STOP"}]})
    if "predictLongRunning" in asked.path:
        return _json({"name": _OPERATION})
    if "operations" in asked.path or "fetchPredictOperation" in asked.path:
        return _json({"name": _OPERATION})
    return Said(404, b'{"error": {"code": 404, "message": "Not found.", "status": "NOT_FOUND"}}')


def echoing(asked: Asked) -> Said:
    """Says yes to everything, and gives back each header that it got, with and without `X-`, and as the proof."""
    given = next((value for name, value in asked.headers.items() if "challenge" in name.lower()), "")
    back = {name: value for name, value in asked.headers.items() if name.lower().startswith("x-")}
    said = as_google(asked)
    body = said.body if said.status == 200 else asked.body or json.dumps({"service": NAME, "pid": 1}).encode()
    return Said(200, body, {**back, "X-Callsheet-Proof": given})


def older(asked: Asked) -> Said:
    """The rehearsal service of a version that had no proof."""
    if asked.path == "/rehearsal/status":
        clock = {"factor": 60.0, "origin": "2026-11-30T00:00:00+00:00"}
        return _json({"service": NAME, "version": "0.1.0", "pid": 4242, **clock})
    return as_google(asked)


def redirecting(to: str, asked: Asked) -> Said:
    """Sends every GET on to another server, and keeps what is posted."""
    if asked.method == "GET":
        return Said(307, b"", {"Location": f"{to}{asked.path}"})
    return as_google(asked)


def relaying(to: str, asked: Asked) -> Said:
    """Passes everything on, both ways, as it is."""
    dropped = ("host", "content-length", "connection", "accept-encoding", "transfer-encoding")
    headers = {name: value for name, value in asked.headers.items() if name.lower() not in dropped}
    with httpx2.Client(timeout=120, trust_env=False) as client:
        reply = client.request(asked.method, f"{to}{asked.path}", content=asked.body, headers=headers)
    back = {name: value for name, value in reply.headers.items() if name not in (*dropped, "date", "server")}
    return Said(reply.status_code, reply.content, back)


def replaying(recorded: Said, asked: Asked) -> Said:
    """Gives the answer of the real service, as it was recorded once."""
    return recorded if asked.method == "GET" else as_google(asked)


def _json(body: object) -> Said:
    return Said(200, json.dumps(body).encode())


class Gateway(ThreadingHTTPServer):
    """Answers as it is told and keeps what it was asked."""

    daemon_threads = True

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.asked: list[Asked] = []
        self.lock = Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def posts(self) -> list[str]:
        """The paths of all that was posted."""
        return [asked.path for asked in self.asked if asked.method == "POST"]

    @property
    def paid(self) -> list[str]:
        """Of these the ones that a gateway to Google takes, and somebody pays for."""
        return [path for path in self.posts if _PAID.fullmatch(path)]

    def handle_error(self, *_: object) -> None:
        """A caller who is gone is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Gateway
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = Asked(self.command, self.path, dict(self.headers), body)
        with self.server.lock:
            self.server.asked.append(asked)
        said = self.server.answering(asked)
        self.send_response(said.status)
        for name, value in {"Content-Type": "application/json", **said.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said.body)))
        self.end_headers()
        self.wfile.write(said.body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def gateway(answering: Answering, *given: object) -> Iterator[Gateway]:
    """A gateway on a free port."""
    with Gateway(partial(answering, *given)) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()
