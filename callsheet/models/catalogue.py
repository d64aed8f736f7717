"""Reading the model catalogue: built-in data under a user's own file.

The user's file replaces it field by field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from callsheet.errors import CatalogueError
from callsheet.models.controls import Controls, Extension
from callsheet.models.data_files import inherit, overlay, read_yaml, text_keys
from callsheet.models.model import DRIVEN_SURFACES, Defaults, Latency, LegalityRule, Model, ModelLimits, PriceChange
from callsheet.models.schema import (
    CatalogueRecord,
    ExtensionRecord,
    Kind,
    ModelRecord,
    Platform,
    RuleRecord,
    SpendRecord,
    parse_pixels,
)
from callsheet.suggestions import nearest

_Key = TypeVar("_Key", bound=str)
_Value = TypeVar("_Value")
PixelTable = Mapping[str, Mapping[str, str]]


def to_model(model_id: str, record: ModelRecord, tables: Mapping[str, PixelTable]) -> Model:
    """Return the model of a record.

    `tables` are the named pixel tables of its catalogue.
    """
    inputs, defaults, latency, controls = record.inputs, record.defaults, record.latency_s, record.controls
    return Model(
        id=model_id,
        name=record.name,
        kind=record.kind,
        surface=record.surface,
        status=record.status,
        platforms=record.platforms,
        locations=record.locations,
        no_minors=frozenset(record.no_minors),
        no_video_uploads=frozenset(record.no_video_uploads),
        latency_s=Latency(latency.min, latency.typical, latency.max),
        checked_on=record.checked_on,
        released=record.released,
        retired_on=record.retired_on,
        replacement=record.replacement,
        better=record.better,
        aspect_ratios=record.aspect_ratios,
        sizes=record.sizes,
        resolutions=record.resolutions,
        durations_s=record.durations_s,
        rules=tuple(_to_rule(rule) for rule in record.rules),
        defaults=Defaults(defaults.aspect_ratio, defaults.size, defaults.resolution, defaults.duration_s),
        reference_images=inputs.reference_images,
        style_references=inputs.style_references,
        first_frame=inputs.first_frame,
        edit_video=inputs.edit_video,
        last_frame=inputs.last_frame,
        max_bytes=inputs.max_bytes,
        mime_types=inputs.mime_types,
        prompt_tokens=inputs.prompt_tokens,
        controls=Controls(
            controls.system_instruction,
            _name_keys(controls.safety),
            controls.thinking,
            _name_keys(controls.audio),
            _name_keys(controls.enhance_prompt),
        ),
        extension=_to_extension(record.extension) if record.extension else None,
        source=record.source,
        confidence=record.confidence,
        pixels=_parse_pixel_tables(record, tables),
        person_generation=_name_keys({str(at): _name_keys(each) for at, each in record.person_generation.items()}),
        seed=_name_keys(record.seed),
        per_image_usd=_name_keys(record.price_usd.per_image),
        per_second_usd=_name_keys(record.price_usd.per_second),
        per_mtok_usd=_name_keys(record.price_usd.per_mtok),
        image_tokens=_name_keys(record.image_tokens),
        video_tokens=_name_keys(record.video_tokens),
        price_changes=tuple(
            PriceChange(each.since, _name_keys(each.per_image), _name_keys(each.per_second), _name_keys(each.per_mtok))
            for each in record.price_usd.changes
        ),
        limits_by_tier=_name_keys({tier: ModelLimits(each.rpm, each.rpd) for tier, each in record.limits.items()}),
    )


def _to_extension(record: ExtensionRecord) -> Extension:
    sources = _name_keys(record.longest_source_s)
    return Extension(record.step_s, record.longest_s, record.most_steps, record.resolutions, sources)


def _to_rule(record: RuleRecord) -> LegalityRule:
    when = record.when
    return LegalityRule(record.duration_s, when.resolution, when.aspect_ratio, when.reference_images, when.last_frame)


def _parse_pixel_tables(
    record: ModelRecord, tables: Mapping[str, PixelTable]
) -> Mapping[str, Mapping[str, tuple[int, int]]]:
    table: PixelTable = tables[record.pixels] if isinstance(record.pixels, str) else (record.pixels or {})
    return _name_keys(
        {ratio: _name_keys({size: parse_pixels(text) for size, text in row.items()}) for ratio, row in table.items()}
    )


def _name_keys(values: Mapping[_Key, _Value]) -> dict[str, _Value]:
    return {str(key): value for key, value in values.items()}


# Prices change, as quotas turn, at midnight there.
PACIFIC = ZoneInfo("America/Los_Angeles")

_BUILT_IN = Path(__file__).with_name("catalogue.yaml")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All known models by id, with the ids that a manifest gets when it names none.

    `default_video_with_key` is the default of those who have a Gemini API key and nothing else. `kept` are the models
    whose defaults are those of a batch's record (callsheet/batch/request.py).
    """

    by_id: Mapping[str, Model] = field(repr=False)
    default_image: str
    default_video: str
    default_look: str
    checked_on: date
    spend_usd: Mapping[str, SpendRecord] = field(default_factory=dict, repr=False)
    kept: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    default_video_with_key: str | None = None

    @property
    def defaults(self) -> dict[str, str]:
        """Return the ids that a manifest gets when it names none, by kind."""
        return {"image": self.default_image, "video": self.default_video, "look": self.default_look}

    def with_defaults(self, ids: Mapping[str, str] | None) -> Catalogue:
        """Return the catalogue with these default models by kind.

        Models that it does not know are left out.
        """
        asked: Mapping[str, str] = ids or {}
        known: dict[str, str] = {
            kind: one for kind, one in asked.items() if (model := self.find(one)) and model.kind == kind
        }
        kept = {**self.defaults, **known}
        return replace(self, default_image=kept["image"], default_video=kept["video"], default_look=kept["look"])

    def with_details(self, details: Mapping[str, Defaults]) -> Catalogue:
        """Return the catalogue with these defaults of models.

        Models that it does not know are left out.
        """
        known = {name: self.by_id[name] for name in details if name in self.by_id}
        other = {
            name: replace(model, defaults=details[name])
            for name, model in known.items()
            if details[name] != model.kept_defaults
        }
        return replace(self, by_id={**self.by_id, **other}, kept=frozenset(known))

    def keep_platform(self, platform: Platform | None) -> Catalogue:
        """Return the catalogue whose default video model is served on this platform alone."""
        model = self.by_id[self.default_video]
        if model.begun_on == platform:
            return self
        return replace(self, by_id={**self.by_id, model.id: replace(model, begun_on=platform)})

    def find(self, model_id: str) -> Model | None:
        """Return the model, None when the catalogue does not know it."""
        return self.by_id.get(model_id)

    def get(self, model_id: str) -> Model:
        """Return the model.

        Raises CatalogueError with the nearest id when the catalogue does not know it.
        """
        model = self.by_id.get(model_id)
        if model is None:
            guess = self.nearest(model_id)
            hint = f" Did you mean {guess}?" if guess else ""
            raise CatalogueError(
                f"The model {model_id!r} is not in the catalogue.{hint} See `callsheet models`, "
                "or add it to a catalogue file of your own (CALLSHEET_CATALOGUE)."
            )
        return model

    def find_replacement(self, model_id: str, today: date) -> str | None:
        """Return the living model at the end of a model's chain of replacements.

        It is driven, and neither retired nor deprecated. None when there is none.
        """
        seen, model = {model_id}, self.find(model_id)
        while model and model.replacement and model.replacement not in seen:
            seen.add(model.replacement)
            model = self.find(model.replacement)
            if model and model.driven and model.status != "deprecated" and not model.is_retired(today):
                return model.id
        return None

    def list_better(self, model_id: str) -> list[str]:
        """Return the better models of the same family, the nearest first."""
        found: list[str] = []
        model = self.find(model_id)
        while model and model.better and model.better not in (*found, model_id):
            found.append(model.better)
            model = self.find(model.better)
        return found

    def price_at(self, moment: datetime) -> Catalogue:
        """Return the catalogue with the prices of the moment's Pacific day."""
        day = moment.astimezone(PACIFIC).date()
        if all(change.since > day for model in self.by_id.values() for change in model.price_changes):
            return self
        return replace(self, by_id={name: model.price_on(day) for name, model in self.by_id.items()})

    def models(self, kind: Kind | None = None) -> tuple[Model, ...]:
        """Return all models (of a kind), in the order of the file."""
        return tuple(model for model in self.by_id.values() if kind in (None, model.kind))

    def nearest(self, model_id: str, kind: Kind | None = None) -> str | None:
        """Return the known id most like this one, None when none is like it.

        Of a kind, only models that callsheet drives and that are not retired.
        """
        if kind is None:
            return nearest(model_id, self.by_id)
        driven = DRIVEN_SURFACES.get(kind, ())
        usable = [m.id for m in self.models(kind) if m.status != "retired" and m.surface in driven]
        return nearest(model_id, usable)


def load_catalogue(extra: Path | None = None) -> Catalogue:
    """Return the built-in catalogue, overlaid with the YAML file `extra`.

    Raises CatalogueError that names its file and field. The file has the form of the built-in one and needs to hold
    only what differs: a field replaces that field of a model, a new id adds a model (`inherits:` fills the rest), null
    takes an optional value away.
    """
    if extra is None:
        return _load_built_in()
    own = text_keys(_read(extra))
    if "default_video" in own:  # who names one means it, whatever the credentials
        own = {"default_video_with_key": None, **own}
    # Built-in models are complete before the overlay: a change to one does not spread to those that inherit from it.
    return _parse(inherit(overlay(_read_built_in(), own), extra), extra)


@cache
def _load_built_in() -> Catalogue:
    return _parse(_read_built_in(), _BUILT_IN)


@cache
def _read_built_in() -> dict[str, object]:
    return inherit(text_keys(_read(_BUILT_IN)), _BUILT_IN)


def _read(path: Path) -> dict[object, object]:
    return read_yaml(path, "model catalogue", CatalogueError)


def _parse(data: dict[str, object], path: Path) -> Catalogue:
    try:
        record = CatalogueRecord.model_validate(data)
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)]
        raise CatalogueError("The model catalogue is not valid:\n  " + "\n  ".join(lines[:50])) from None
    tables = record.pixel_tables
    by_id = {model_id: to_model(model_id, model, tables) for model_id, model in record.models.items()}
    spend = {str(tier): limits for tier, limits in record.spend_usd.items()}
    return Catalogue(
        by_id,
        record.default_image,
        record.default_video,
        record.default_look,
        record.checked_on,
        spend,
        default_video_with_key=record.default_video_with_key,
    )
