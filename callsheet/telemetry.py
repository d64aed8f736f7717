"""What a run tells of its work as it goes, to whoever listens in this process.

Rooms tell here, and know nothing of who listens: `orchestration/otel_export.py`, where OpenTelemetry is set up. Without
a listener nothing is done. No prompt, no key and no address of a file is ever told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

# request, operation: what came of a paid request, and of a submitted video. retried, waited, parked, sent, booked: for
# counting: tried again, seconds until quota has room, put off, seconds from planned to sent, USD.
Event = Literal[
    "shot begins", "shot ends", "request", "operation", "retried", "waited", "parked", "sent", "booked", "opened"
]
Fields = Mapping[str, object]
Listener = Callable[[Event, Fields], None]

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Have a listener be told of everything from now on."""
    _listeners.append(listener)


def tell(event: Event, fields: Fields) -> None:
    """Tell the listeners of an event; they never raise."""
    for listener in _listeners:
        listener(event, fields)
