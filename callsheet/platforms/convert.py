"""From the checked record of a platform to the value that plans are made with."""

from __future__ import annotations

from fractions import Fraction

from callsheet.platforms.schema import PlatformRecord
from callsheet.platforms.spec import Fact, PlatformSpec, Zone

_GROUPS = ("size", "fps", "duration", "video", "file", "loudness", "safe")


def to_spec(name: str, record: PlatformRecord) -> PlatformSpec:
    """The spec with its facts; what the record does not say is not limited."""
    groups = {key: group for key in _GROUPS if (group := getattr(record, key)) is not None}
    numbers = {
        field: value
        for key, group in groups.items()
        if key not in ("fps", "safe")
        for field, value in group.model_dump(exclude={"source", "checked_on", "keeps"}).items()
    }
    if record.fps:
        numbers |= {"min_fps": record.fps.min, "max_fps": record.fps.max}
    if record.safe:
        safe = record.safe
        numbers["safe"] = Zone(safe.left, safe.top, safe.right, safe.bottom)
    keeps = tuple(Fraction(*map(int, ratio.split(":"))) for ratio in record.size.keeps)
    facts = tuple(Fact(key, group.source, group.checked_on) for key, group in groups.items())
    return PlatformSpec(name=name, title=record.title, keeps=keeps, facts=facts, **numbers)
