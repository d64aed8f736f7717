"""A web server on loopback that gives one answer to everything, and keeps what it was asked."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Answer:
    """What is answered: `echo` adds the request's headers to the body, `is_slow` answers when the server ends."""

    status: int = 200
    body: bytes = b'{"models": []}'
    headers: Mapping[str, str] = field(default_factory=dict)
    ahead: dt.timedelta = dt.timedelta()
    echo: bool = False
    is_slow: bool = False


class PlainServer(ThreadingHTTPServer):
    """The server; `asked` are the requests: method, path and headers; `bodies` what came with them."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        self.answer, self.ending = answer, Event()
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"


class _Handler(BaseHTTPRequestHandler):
    server: PlainServer

    def do_GET(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.server.asked.append((self.command, self.path, dict(self.headers)))
        answer = self.server.answer
        if answer.is_slow:
            self.server.ending.wait()
        body = answer.body + (str(dict(self.headers)).encode() if answer.echo else b"")
        self.send_response_only(answer.status)
        now = dt.datetime.now(dt.UTC) + answer.ahead
        headers = {"Date": format_datetime(now, usegmt=True), "Content-Type": "application/json", **answer.headers}
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def plain_server(answer: Answer | None = None, tls: ssl.SSLContext | None = None) -> Iterator[PlainServer]:
    """The server on a free port, over TLS when a context is given."""
    with PlainServer(answer or Answer()) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server
        finally:
            server.ending.set()
            server.shutdown()


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's TLS context with a certificate for 127.0.0.1 that nobody trusts."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    private: Any = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
