"""Choices of frames, recorded before their clips are paid for.

Each is written once, and read by every later run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime

from sqlalchemy import Connection, insert, select

from callsheet.decisions import FramePin
from callsheet.ledger.rows import at_once
from callsheet.ledger.tables import frame_pins

_COLUMNS = tuple(field.name for field in fields(FramePin))


def pin(connection: Connection, now: datetime, wished: FramePin, takes: Mapping[int, str]) -> FramePin:
    """Return the pin that counts for these takes, recording the wished one if new.

    `takes` are sha256 by number. A pin that is on record and fits them counts, whoever wrote it.
    """
    known = pins_of(connection, wished.batch, [wished.shot]).get(wished.shot, ())
    before = next((one for one in reversed(known) if one.holds_for(wished.wish, takes)), None)
    if before is not None:
        return before
    new = replace(wished, n=len(known) + 1, at=now)
    enter(connection, new)
    return new


def pins_of(connection: Connection, batch: str, shots: Sequence[str]) -> dict[str, tuple[FramePin, ...]]:
    """Return the pins of some shots of a batch, by shot in order of time."""
    found: dict[str, list[FramePin]] = defaultdict(list)
    columns = [frame_pins.c[name] for name in _COLUMNS]
    for some in at_once(shots):
        statement = select(*columns).where(frame_pins.c.batch == batch, frame_pins.c.shot.in_(some))
        for row in connection.execute(statement.order_by(frame_pins.c.shot, frame_pins.c.n)):
            found[row.shot].append(FramePin(*row))
    return {name: tuple(pins) for name, pins in found.items()}


def enter(connection: Connection, one: FramePin) -> None:
    """Insert a pin as it is, with its number and time."""
    connection.execute(insert(frame_pins).values({name: getattr(one, name) for name in _COLUMNS}))
