"""OpenTelemetry of this process, by the standard variables.

Nothing of it is imported while no variable asks for it. The providers are callsheet's own and not the process's global
ones: what Prefect would send by these quotes the messages of states, which may quote a prompt.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

from callsheet.telemetry import listen

if TYPE_CHECKING:
    from callsheet.orchestration.otel_signals import Signals

log = logging.getLogger(__name__)

ENDPOINT, DISABLED = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SDK_DISABLED"
# How long the end of a run waits for a collector, in seconds; and for one that has not answered before.
FLUSH_S, AFTER_TROUBLE_S = 5.0, 1.0
_PROTOCOL = "http/protobuf"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the variables ask for.

    `doubts` are sentences about what they ask for and cannot have.
    """

    traces: bool = False
    metrics: bool = False
    doubts: tuple[str, ...] = ()


def read_wanted(variables: Mapping[str, str]) -> Wanted:
    """Return which signals the standard variables ask for.

    An exporter that is named counts before an endpoint that is set. Nothing is sent to a default endpoint unasked.
    """
    if variables.get(DISABLED, "").strip().lower() == "true":
        return Wanted()
    doubts: list[str] = []
    traces, metrics = (_is_wanted(signal, variables, doubts) for signal in ("TRACES", "METRICS"))
    return Wanted(traces, metrics, tuple(doubts))


def _is_wanted(signal: str, variables: Mapping[str, str], doubts: list[str]) -> bool:
    def read(name: str) -> str:
        return variables.get(name, "").strip()

    own, exporter = f"OTEL_EXPORTER_OTLP_{signal}", read(f"OTEL_{signal}_EXPORTER").lower()
    if exporter not in ("", "otlp", "none"):
        doubts.append(f"OTEL_{signal}_EXPORTER={exporter} is not known here: set otlp or none. They are not sent.")
        return False
    if exporter == "none" or not (exporter or read(ENDPOINT) or read(f"{own}_ENDPOINT")):
        return False
    protocol = (read(f"{own}_PROTOCOL") or read("OTEL_EXPORTER_OTLP_PROTOCOL") or _PROTOCOL).lower()
    if protocol != _PROTOCOL:
        doubts.append(f"{signal.lower()} are sent by {_PROTOCOL} alone, not by {protocol}: they are not sent.")
        return False
    return True


class Delivery:
    """What has to be sent before a run ends, and if the collector was trouble."""

    def __init__(self, signals: Signals, flushes: tuple[Callable[[], object], ...]) -> None:
        self.signals, self._flushes = signals, flushes
        self._trouble, self._lock = Event(), Lock()

    def flush(self) -> None:
        """Send what is not sent yet, within a bounded time; blocks for that long."""
        sending = [Thread(target=one, daemon=True) for one in self._flushes]
        ended = Event()

        def wait() -> None:
            for one in sending:
                one.join()
            ended.set()

        for one in sending:
            one.start()
        Thread(target=wait, daemon=True).start()
        if ended.wait(AFTER_TROUBLE_S) or (not self._trouble.is_set() and ended.wait(FLUSH_S - AFTER_TROUBLE_S)):
            return
        self.note_trouble()

    def note_trouble(self) -> None:
        """Tell once that the collector does not take what is sent."""
        with self._lock:
            is_news = not self._trouble.is_set()
            self._trouble.set()
        if is_news:
            log.warning(
                "Traces and metrics are not taken by the OpenTelemetry collector at %s, or too slowly, and are lost; "
                "nothing else is. See to it that it answers, or unset the variables OTEL_....",
                _describe_place(os.environ),
            )


def _describe_place(variables: Mapping[str, str]) -> str:
    names = (ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
    found = (variables.get(name, "").strip() for name in names)
    # Never what stands before the host or behind it: a name, a password, a token.
    hosts = (urlsplit(url).netloc.rpartition("@")[2] for url in found if url)
    return ", ".join(dict.fromkeys(hosts)) or "localhost:4318"


class _TroubleHandler(logging.Handler):
    """Takes what the SDK logs, a line for each try, and has it told once."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Tell of the first trouble."""
        self._tell()


@asynccontextmanager
async def telling_of_run(flow: str) -> AsyncIterator[Callable[[str], None]]:
    """Export what the run of a flow in the block tells, if the variables ask for it.

    The block is given what takes the outcome in a word. What is not sent yet is sent at its end, however it ends.
    """
    delivery = set_up_export()
    if delivery is None:
        yield lambda _: None
        return
    try:
        with delivery.signals.run_span(flow) as span:
            yield lambda outcome: span.set_attribute("callsheet.outcome", outcome)
    finally:
        await asyncio.to_thread(delivery.flush)


@cache
def set_up_export() -> Delivery | None:
    """Begin to export what the variables ask for, once a process.

    Returns None when that is nothing.
    """
    wanted = read_wanted(os.environ)
    for doubt in wanted.doubts:
        log.warning("%s", doubt)
    if not (wanted.traces or wanted.metrics):
        return None
    try:
        delivery = _open(wanted)
    except ImportError:
        log.warning(
            "The variables OTEL_... ask for traces and metrics, and what sends them is not installed: "
            "pip install 'callsheet[otel]', or unset them. The run goes on without."
        )
        return None
    except Exception as error:  # a variable that the SDK cannot read
        log.warning("Traces and metrics are not sent, for OpenTelemetry cannot be set up: %s", type(error).__name__)
        return None
    listen(delivery.signals)
    return delivery


def _open(wanted: Wanted) -> Delivery:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from callsheet.orchestration.otel_signals import Signals

    resource = Resource.create(_name_process(os.environ))
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    readers, flushes = [], []
    if wanted.traces:
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        flushes.append(tracers.force_flush)
    if wanted.metrics:
        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    meters = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
    if wanted.metrics:
        flushes.append(meters.force_flush)
    made = Signals(tracers.get_tracer("callsheet", version("callsheet")), meters.get_meter("callsheet"))
    delivery, own = Delivery(made, tuple(flushes)), logging.getLogger("opentelemetry")
    own.handlers, own.propagate = [_TroubleHandler(delivery.note_trouble)], False
    return delivery


def _name_process(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the process's own attributes, but for those that the variables name."""
    own = {
        "service.name": "" if variables.get("OTEL_SERVICE_NAME", "").strip() else "callsheet",
        "service.version": version("callsheet"),
        # Counters of shards that run side by side are told apart by it.
        "service.instance.id": str(uuid4()),
    }
    given = {pair.partition("=")[0].strip() for pair in variables.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")}
    return {name: value for name, value in own.items() if value and name not in given}
