"""From the validated record of a model to the frozen value that the rest of callsheet uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from callsheet.models.model import Defaults, Latency, Limits, Model, PriceChange, Rule
from callsheet.models.schema import ModelRecord, RuleRecord, parse_pixels

_Key = TypeVar("_Key", bound=str)
_Value = TypeVar("_Value")
PixelTable = Mapping[str, Mapping[str, str]]


def to_model(model_id: str, record: ModelRecord, tables: Mapping[str, PixelTable]) -> Model:
    """The model of a record; `tables` are the named pixel tables of its catalogue."""
    inputs, defaults, latency = record.inputs, record.defaults, record.latency_s
    return Model(
        id=model_id,
        name=record.name,
        kind=record.kind,
        surface=record.surface,
        status=record.status,
        platforms=record.platforms,
        latency_s=Latency(latency.min, latency.typical, latency.max),
        checked_on=record.checked_on,
        released=record.released,
        retired_on=record.retired_on,
        replacement=record.replacement,
        aspect_ratios=record.aspect_ratios,
        sizes=record.sizes,
        resolutions=record.resolutions,
        durations_s=record.durations_s,
        rules=tuple(_rule(rule) for rule in record.rules),
        defaults=Defaults(defaults.aspect_ratio, defaults.size, defaults.resolution, defaults.duration_s),
        reference_images=inputs.reference_images,
        first_frame=inputs.first_frame,
        last_frame=inputs.last_frame,
        max_bytes=inputs.max_bytes,
        mime_types=inputs.mime_types,
        prompt_tokens=inputs.prompt_tokens,
        source=record.source,
        confidence=record.confidence,
        pixels=_pixels(record, tables),
        person_generation=_by_name({str(name): _by_name(values) for name, values in record.person_generation.items()}),
        seed=_by_name(record.seed),
        per_image_usd=_by_name(record.price_usd.per_image),
        per_second_usd=_by_name(record.price_usd.per_second),
        per_mtok_usd=_by_name(record.price_usd.per_mtok),
        image_tokens=_by_name(record.image_tokens),
        price_changes=tuple(
            PriceChange(each.since, _by_name(each.per_image), _by_name(each.per_second), _by_name(each.per_mtok))
            for each in record.price_usd.changes
        ),
        limits_by_tier=_by_name({tier: Limits(each.rpm, each.rpd) for tier, each in record.limits.items()}),
    )


def _rule(record: RuleRecord) -> Rule:
    when = record.when
    return Rule(record.duration_s, when.resolution, when.aspect_ratio, when.reference_images, when.last_frame)


def _pixels(record: ModelRecord, tables: Mapping[str, PixelTable]) -> Mapping[str, Mapping[str, tuple[int, int]]]:
    table: PixelTable = tables[record.pixels] if isinstance(record.pixels, str) else (record.pixels or {})
    return _by_name(
        {ratio: _by_name({size: parse_pixels(text) for size, text in row.items()}) for ratio, row in table.items()}
    )


def _by_name(values: Mapping[_Key, _Value]) -> dict[str, _Value]:
    return {str(key): value for key, value in values.items()}
