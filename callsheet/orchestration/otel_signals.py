"""Spans and metrics of OpenTelemetry, made of what a run tells.

This is imported only where they are sent. A span for the run, for each shot, for each paid request, and for each
submitted video until its end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from callsheet.telemetry import Event, Fields

log = logging.getLogger(__name__)

_NANOSECONDS = 1_000_000_000
# What events are told apart by in the metrics: few values each.
_OF_METRICS = ("kind", "model", "mode")
# Names of our fields in spans; "event" is how it came out.
_NAMES = {"event": "callsheet.outcome"}


class Signals:
    """A listener that makes spans and metrics; it never raises."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._run: Span | None = None
        self._shots: dict[tuple[object, object], Span] = {}
        self._submitted: dict[object, int] = {}
        self._spent = meter.create_counter("callsheet.usd.spent", "USD", "What the ledger has booked as spent")
        self._returned = meter.create_counter("callsheet.usd.returned", "USD", "What was booked and is taken back")
        self._requests = meter.create_counter("callsheet.requests", "{request}", "Paid requests, by outcome")
        self._retries = meter.create_counter("callsheet.retries", "{request}", "Requests made once more, by error")
        self._parked = meter.create_counter("callsheet.parked", "{job}", "Jobs that were put off to a later run")
        self._took = meter.create_histogram("callsheet.request.duration", "s", "From sending to the reply")
        self._waits = meter.create_histogram("callsheet.quota.wait", "s", "Waiting until a quota has room")
        self._age = meter.create_histogram("callsheet.queue.age", "s", "From a job planned to its first request")

    def __call__(self, event: Event, fields: Fields) -> None:
        """Make of an event what is sent of it."""
        try:
            self._take(event, fields)
        except Exception:  # it is not worth a batch
            log.debug("An event could not be made a span or a metric", exc_info=True)

    @contextmanager
    def run_span(self, flow: str) -> Iterator[Span]:
        """Have the spans of the block be children of a run's."""
        span = self._tracer.start_span("callsheet.run", attributes={"callsheet.flow": flow})
        token, outer, self._run = context.attach(set_span_in_context(span)), self._run, span
        try:
            yield span
        except BaseException as error:
            span.set_attributes({"callsheet.outcome": "error", "callsheet.error": type(error).__name__})
            span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            self._run = outer
            context.detach(token)
            span.end()

    def _take(self, event: Event, fields: Fields) -> None:
        place = (fields.get("batch"), fields.get("shot"))
        few = {name: str(fields[name]) for name in _OF_METRICS if name in fields}
        match event:
            case "opened" if self._run is not None:
                self._run.set_attributes(name_fields(fields))
            case "shot begins":
                self._shots[place] = self._tracer.start_span("callsheet.shot", attributes=name_fields(fields))
            case "shot ends" if (span := self._shots.pop(place, None)) is not None:
                span.set_attributes(name_fields(fields))
                _end(span, fields["outcome"] not in ("blocked", "failed"))
            case "request":
                self._count_request(few, fields)
                self._end_now("callsheet.request", fields, self._seconds_ago(fields))
            case "operation":
                self._end_now("callsheet.operation", fields, self._submitted.pop(fields["job"], time.time_ns()))
            case "booked":
                usd = float(str(fields["usd"]))
                (self._spent if usd > 0 else self._returned).add(abs(usd), few)
            case "retried":
                self._retries.add(1, {**few, "error": str(fields["error"])})
            case "parked":
                self._parked.add(1, {**few, "error": str(fields["error"])})
            case "waited":
                self._waits.record(float(str(fields["seconds"])), few)
            case "sent":
                self._age.record(float(str(fields["seconds"])), few)

    def _count_request(self, few: Mapping[str, str], fields: Fields) -> None:
        error = {"error": str(fields["error"])} if "error" in fields else {}
        self._requests.add(1, {**few, "outcome": str(fields["event"]), **error})
        self._took.record(float(str(fields["seconds"])), few)
        if fields["event"] == "submitted":
            self._submitted[fields["job"]] = time.time_ns()

    def _end_now(self, name: str, fields: Fields, began_ns: int) -> None:
        shot = self._shots.get((fields["batch"], fields["shot"]))
        where = set_span_in_context(shot) if shot is not None else None
        span = self._tracer.start_span(name, where, attributes=name_fields(fields), start_time=began_ns)
        _end(span, fields["event"] in ("made", "submitted"))

    def _seconds_ago(self, fields: Fields) -> int:
        return time.time_ns() - int(float(str(fields["seconds"])) * _NANOSECONDS)


def name_fields(fields: Fields) -> dict[str, str | int | float | list[str]]:
    """Return the fields as attributes of a span."""
    named = ((_NAMES.get(name, f"callsheet.{name}"), value) for name, value in fields.items())
    return {name: value if isinstance(value, str | int | float | list) else str(value) for name, value in named}


def _end(span: Span, went_well: bool) -> None:
    span.set_status(Status(StatusCode.OK if went_well else StatusCode.ERROR))
    span.end()
