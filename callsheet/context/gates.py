"""Which routes take requests.

What one refused for good is not asked of it again, while the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from callsheet.errors import (
    CallsheetError,
    Overloaded,
    ProviderError,
    RouteClosed,
    RouteParked,
    Unauthorised,
    Unknown,
    Unreachable,
)

# The place of the whole route among its models.
ALL = ""
# After these nobody knows whether the route takes requests again.
_NO_NEWS = (Unreachable, Overloaded, Unauthorised, Unknown)


def place_of(model: str, error: ProviderError) -> str:
    """Tell what a refusal closes: the model, or ALL of its route."""
    return model if isinstance(error, RouteClosed) and error.model_only else ALL


@dataclass
class RouteGate:
    """One route of a process, by its quota's scope.

    `closed` has why nothing more is sent, by model (ALL: every one). `suspects` are the models that an earlier run
    found closed: they are tried with one request before the others. `heard` has those that another process found closed
    meanwhile, `first` the ledger's marks when it was asked first.
    """

    scope: str
    closed: dict[str, CallsheetError] = field(default_factory=dict)
    suspects: set[str] = field(default_factory=set)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    heard: dict[str, CallsheetError] = field(default_factory=dict)
    first: Mapping[str, datetime] | None = None

    def check(self, model: str) -> None:
        """Raise why nothing is sent to the model, when it is so."""
        known = self.heard | self.closed
        if (why := known.get(ALL) or known.get(model)) is not None:
            raise why

    def hear(self, marks: Mapping[str, datetime]) -> None:
        """Take note of the ledger's marks of closed models, with the moment of each.

        A mark as old as this gate is a suspect; one set since then is a refusal that another process has had.
        """
        self.first = marks if self.first is None else self.first
        newer = {place: at for place, at in marks.items() if self.first.get(place) != at}
        self.suspects = marks.keys() - newer.keys()
        self.heard = {
            place: RouteParked(
                f"Another process was refused {place or 'on this route'} for good at {at:%Y-%m-%d %H:%M} UTC (billing, "
                "credits or a cap; its own summary names the page to look at), so nothing was sent. Mend that, then "
                "run again."
            )
            for place, at in newer.items()
        }

    def is_suspect(self, model: str) -> bool:
        """Return whether the model was closed when it was asked last."""
        return not self.suspects.isdisjoint({ALL, model})

    @asynccontextmanager
    async def turn(self, model: str) -> AsyncIterator[None]:
        """Let a request through; one at a time while the route is suspect.

        Raises why it is closed.
        """
        self.check(model)
        if not self.is_suspect(model):
            yield
            return
        async with self.lock:
            self.check(model)
            alone = self.is_suspect(model)
            if alone:
                yield
        if not alone:
            yield

    def close_after(self, model: str, error: RouteClosed | Unauthorised) -> CallsheetError:
        """Close the route, or the model on it, after this refusal.

        Returns what others are told.
        """
        place = place_of(model, error)
        why = RouteParked(str(error)) if isinstance(error, RouteClosed) else error
        self.closed.setdefault(place, why)
        return why

    def is_opened_by(self, model: str, outcome: object) -> bool:
        """Take note of an outcome.

        Whether it shows that a suspect route takes requests again.
        """
        silent = isinstance(outcome, ProviderError) and isinstance(outcome, (RouteClosed, *_NO_NEWS))
        if silent or not self.is_suspect(model):
            return False
        self.suspects -= {ALL, model}
        return True
