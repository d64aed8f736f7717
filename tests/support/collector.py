"""An OpenTelemetry collector on loopback: takes traces and metrics by OTLP over HTTP, and keeps them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest

pytest.importorskip("opentelemetry.proto")

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector(ThreadingHTTPServer):
    """What was sent, as it came. With `hangs` nothing is answered."""

    daemon_threads = True

    def __init__(self, *, hangs: bool = False) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        self.hangs, self.is_over = hangs, Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self, name: str = "") -> list[Any]:
        """The spans of this name, or all."""
        found = [ExportTraceServiceRequest.FromString(body) for path, body in self.bodies if path == "/v1/traces"]
        scopes = [scope for one in found for resource in one.resource_spans for scope in resource.scope_spans]
        return [span for scope in scopes for span in scope.spans if name in ("", span.name)]

    def resources(self) -> list[dict[str, Any]]:
        """The attributes of whoever has sent."""
        found = [ExportTraceServiceRequest.FromString(body) for path, body in self.bodies if path == "/v1/traces"]
        return [values_of(one.resource.attributes) for request in found for one in request.resource_spans]

    def points(self, name: str) -> list[Any]:
        """The points of a metric as they were sent last: they are sums since the start."""
        found: list[Any] = []
        for path, body in self.bodies:
            if path != "/v1/metrics":
                continue
            request = ExportMetricsServiceRequest.FromString(body)
            scopes = [scope for resource in request.resource_metrics for scope in resource.scope_metrics]
            for metric in (metric for scope in scopes for metric in scope.metrics if metric.name == name):
                found = list((metric.sum if metric.HasField("sum") else metric.histogram).data_points)
        return found


def values_of(attributes: Any) -> dict[str, Any]:
    """Attributes as a dictionary."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.bodies.append((self.path, body))
        if self.server.hangs:
            self.server.is_over.wait(300)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def collecting(*, hangs: bool = False) -> Iterator[Collector]:
    """A collector on a free port."""
    with Collector(hangs=hangs) as collector:
        Thread(target=collector.serve_forever, daemon=True).start()
        yield collector
        collector.is_over.set()
        collector.shutdown()
