"""Data files that people write: read from YAML, and laid one over another.

A file is bounded in size, without what could grow while it is loaded. The user's own lies over the built-in one, and
entries are filled from their parents.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from callsheet.errors import CatalogueError, UsageError
from callsheet.suggestions import did_you_mean

# These mappings are replaced as a whole when a model inherits: a size that is not named is not made.
_REPLACED = frozenset({"price_usd", "limits", "person_generation"})
# Mappings of usage tiers, whose entry `any` holds for every tier.
_BY_TIER = frozenset({"limits", "spend_usd"})
MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 10


def overlay(base: Mapping[str, object], top: Mapping[str, object]) -> dict[str, object]:
    """Return `base` with every field of `top` in its place.

    Mappings are merged, all else is replaced. What `top` says of `any` tier is said of each that it does not name.
    """
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = overlay(below, _name_tiers(below, value) if key in _BY_TIER else value)
        else:
            merged[key] = value
    return merged


def _name_tiers(below: Mapping[str, object], top: Mapping[str, object]) -> Mapping[str, object]:
    return {**dict.fromkeys(below, top["any"]), **top} if "any" in top else top


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


def read_yaml(path: Path, what: str, error: type[UsageError]) -> dict[object, object]:
    """Return the mapping in a YAML file, empty for an empty file.

    Raises `error`, which says in words what is wrong with `what`.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as reason:
        raise error(f"The {what} {path} cannot be read: {reason.strerror}.") from reason
    if len(text) > MAX_BYTES:
        raise error(f"The {what} {path} is larger than {MAX_BYTES} bytes; it was not read.")
    return _load(text, path, what, error=error)


def _load(text: bytes, path: Path, what: str, *, error: type[UsageError]) -> dict[object, object]:
    try:
        _check_shape(text.decode(), path, error)
        data = YAML(typ="safe").load(text.decode())
    except MarkedYAMLError as reason:
        line = reason.problem_mark.line + 1 if reason.problem_mark else 1
        raise error(f"{path}:{line}: not valid YAML: {reason.problem}.") from None
    except (YAMLError, UnicodeDecodeError, RecursionError, ValueError) as reason:
        raise error(f"{path}: not valid YAML: {str(reason).splitlines()[0]}.") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise error(f"{path}: a {what} is a mapping, not a {type(data).__name__}.")
    return data


def _check_shape(text: str, path: Path, error: type[UsageError]) -> None:
    """Refuse what could grow while it is loaded: aliases and deep nesting."""
    depth = 0
    for event in YAML(typ="safe").parse(text):
        name = type(event).__name__
        depth += name in ("MappingStartEvent", "SequenceStartEvent")
        depth -= name in ("MappingEndEvent", "SequenceEndEvent")
        if name == "AliasEvent":
            raise error(f"{path}: YAML aliases are not taken; write the value out, or use `inherits`.")
        if depth > _MAX_DEPTH:
            line = event.start_mark.line + 1
            raise error(f"{path}:{line}: the values are nested too deep; at most {_MAX_DEPTH} levels.")
