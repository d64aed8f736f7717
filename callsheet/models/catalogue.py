"""Reading the model catalogue: the built-in data, overlaid field by field with a user's own file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from callsheet.errors import CatalogueError
from callsheet.models.convert import to_model
from callsheet.models.model import DRIVEN_SURFACES, Model
from callsheet.models.overlay import inherit, overlay, text_keys
from callsheet.models.rules import nearest
from callsheet.models.schema import CatalogueRecord, Kind

_BUILT_IN = Path(__file__).with_name("catalogue.yaml")
MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All known models by id, with the ids that a manifest gets when it names none."""

    by_id: Mapping[str, Model] = field(repr=False)
    default_image: str
    default_video: str
    checked_on: date

    def find(self, model_id: str) -> Model | None:
        """The model, None when the catalogue does not know it."""
        return self.by_id.get(model_id)

    def get(self, model_id: str) -> Model:
        """The model; CatalogueError with the nearest id when the catalogue does not know it."""
        model = self.by_id.get(model_id)
        if model is None:
            guess = self.nearest(model_id)
            hint = f" Did you mean {guess}?" if guess else ""
            raise CatalogueError(
                f"The model {model_id!r} is not in the catalogue.{hint} See `callsheet models`, "
                "or add it to a catalogue file of your own (CALLSHEET_CATALOGUE)."
            )
        return model

    def models(self, kind: Kind | None = None) -> tuple[Model, ...]:
        """All models (of a kind), in the order of the file."""
        return tuple(model for model in self.by_id.values() if kind in (None, model.kind))

    def nearest(self, model_id: str, kind: Kind | None = None) -> str | None:
        """The known id most like this one; of a kind, only models that callsheet drives and that are not retired."""
        if kind is None:
            return nearest(model_id, self.by_id)
        usable = [m.id for m in self.models(kind) if m.status != "retired" and m.surface == DRIVEN_SURFACES.get(kind)]
        return nearest(model_id, usable)


def load_catalogue(extra: Path | None = None) -> Catalogue:
    """The built-in catalogue, overlaid with the YAML file `extra`; CatalogueError names its file and field.

    The file has the form of the built-in one and needs to hold only what differs: a field replaces that field of
    a model, a new id adds a model (`inherits:` fills the rest), null takes an optional value away.
    """
    if extra is None:
        return _built_in()
    # Built-in models are complete before the overlay: a change to one does not spread to those that inherit from it.
    return _parse(inherit(overlay(_built_in_data(), text_keys(_read(extra))), extra), extra)


@cache
def _built_in() -> Catalogue:
    return _parse(_built_in_data(), _BUILT_IN)


@cache
def _built_in_data() -> dict[str, object]:
    return inherit(text_keys(_read(_BUILT_IN)), _BUILT_IN)


def _read(path: Path) -> dict[object, object]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CatalogueError(f"The model catalogue {path} cannot be read: {error.strerror}.") from error
    if len(text) > MAX_BYTES:
        raise CatalogueError(f"The model catalogue {path} is larger than {MAX_BYTES} bytes; it was not read.")
    return _safe_yaml(text, path)


def _safe_yaml(text: bytes, path: Path) -> dict[object, object]:
    try:
        _check_shape(text.decode(), path)
        data = YAML(typ="safe").load(text.decode())
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CatalogueError(f"{path}:{line}: not valid YAML: {error.problem}.") from None
    except (YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise CatalogueError(f"{path}: not valid YAML: {str(error).splitlines()[0]}.") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise CatalogueError(f"{path}: a catalogue is a mapping with `models:`, not a {type(data).__name__}.")
    return data


def _check_shape(text: str, path: Path) -> None:
    """Refuse what could grow while it is loaded: aliases and deep nesting."""
    depth = 0
    for event in YAML(typ="safe").parse(text):
        name = type(event).__name__
        depth += name in ("MappingStartEvent", "SequenceStartEvent")
        depth -= name in ("MappingEndEvent", "SequenceEndEvent")
        if name == "AliasEvent":
            raise CatalogueError(f"{path}: YAML aliases are not taken; write the value out, or use `inherits`.")
        if depth > _MAX_DEPTH:
            line = event.start_mark.line + 1
            raise CatalogueError(f"{path}:{line}: the values are nested too deep; at most {_MAX_DEPTH} levels.")


def _parse(data: dict[str, object], path: Path) -> Catalogue:
    try:
        record = CatalogueRecord.model_validate(data)
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)]
        raise CatalogueError("The model catalogue is not valid:\n  " + "\n  ".join(lines[:50])) from None
    tables = record.pixel_tables
    by_id = {model_id: to_model(model_id, model, tables) for model_id, model in record.models.items()}
    return Catalogue(by_id, record.default_image, record.default_video, record.checked_on)
