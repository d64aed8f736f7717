"""Laying one catalogue file over another, and filling models from their parents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from callsheet.errors import CatalogueError
from callsheet.models.suggestions import did_you_mean

# These mappings are replaced as a whole when a model inherits: a size that is not named is not made.
_REPLACED = frozenset({"price_usd", "limits", "person_generation"})


def overlay(base: Mapping[str, object], top: Mapping[str, object]) -> dict[str, object]:
    """Return `base` with every field of `top` in its place.

    Mappings are merged, all else is replaced.
    """
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = overlay(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def inherit(data: Mapping[str, object], path: Path) -> dict[str, object]:
    """Resolve `inherits` and fill in `checked_on` in every model of a catalogue."""
    models = data.get("models")
    if not isinstance(models, Mapping):
        raise CatalogueError(f"{path}: models: a mapping of model ids to their fields is needed.")
    resolved = {str(model_id): _resolve(str(model_id), models, path, seen=()) for model_id in models}
    checked_on = data.get("checked_on")
    return {**data, "models": {name: {"checked_on": checked_on, **fields} for name, fields in resolved.items()}}


def _resolve(model_id: str, models: Mapping[str, object], path: Path, *, seen: tuple[str, ...]) -> dict[str, object]:
    fields = models[model_id]
    if not isinstance(fields, Mapping):
        raise CatalogueError(f"{path}: models.{model_id}: a mapping of fields is needed.")
    own = {key: value for key, value in fields.items() if key != "inherits"}
    parent = fields.get("inherits")
    if parent is None:
        return own
    if parent in seen or parent == model_id:
        raise CatalogueError(f"{path}: models.{model_id}.inherits: {parent} inherits from itself.")
    if parent not in models:
        hint = did_you_mean(str(parent), models)
        raise CatalogueError(f"{path}: models.{model_id}.inherits: no model {parent!r} in the catalogue; {hint}")
    below = _resolve(str(parent), models, path, seen=(*seen, model_id))
    whole = {key: value for key, value in own.items() if key in _REPLACED}
    return {**overlay(below, own), **whole}


def text_keys(data: Mapping[object, object]) -> dict[str, object]:
    """Return the data with text for every key.

    YAML reads the tier `1:` and the size `512:` as numbers.
    """
    return {str(key): text_keys(value) if isinstance(value, Mapping) else value for key, value in data.items()}
