"""Reading the platforms: built-in data, overlaid with a user's own file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from callsheet.errors import CatalogueError
from callsheet.models.data_files import overlay, read_yaml, text_keys
from callsheet.platforms.spec import Fact, PlatformRecord, PlatformSpec, PlatformsRecord, Zone
from callsheet.suggestions import did_you_mean, nearest

_GROUPS = ("size", "fps", "duration", "video", "file", "loudness", "safe")


def to_spec(name: str, record: PlatformRecord) -> PlatformSpec:
    """Return the spec with its facts; what the record leaves out is not limited."""
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


_BUILT_IN = Path(__file__).with_name("platforms.yaml")
_Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Platforms:
    """All platforms that cuts can be made for, by name, in the order of the file."""

    by_name: Mapping[str, PlatformSpec] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that `cuts` may list."""
        return tuple(self.by_name)

    def find(self, name: str) -> PlatformSpec | None:
        """Return the platform, None when there is none of this name.

        `9:16` is `9x16`, capitals do not matter.
        """
        return self.by_name.get(name.strip().lower().replace(":", "x"))

    def get(self, name: str) -> PlatformSpec:
        """Return the platform.

        Raises CatalogueError with the nearest name when there is none.
        """
        spec = self.find(name)
        if spec is None:
            guess = self.nearest(name)
            hint = f" Did you mean {guess}?" if guess else ""
            raise CatalogueError(
                f"There is no cut {name[:60]!r}.{hint} There are {', '.join(self.names)}. See `callsheet platforms`, "
                "or add one in a file of your own (CALLSHEET_PLATFORMS)."
            )
        return spec

    def nearest(self, name: str) -> str | None:
        """Return the known name most like this one."""
        return nearest(name.strip().lower().replace(":", "x"), self.by_name)


def load_platforms(extra: Path | None = None) -> Platforms:
    """Return the built-in platforms, overlaid with the YAML file `extra`.

    Raises CatalogueError that names its file and field. The file has the form of the built-in one and needs to hold
    only what differs: a field replaces that field of a platform, a new name adds a platform (`inherits:` fills the
    rest), null takes a group away. A group that is changed without a source counts as not looked up.
    """
    if extra is None:
        return _load_built_in()
    # Built-in platforms are complete before the overlay: a change to one does not spread to those that inherit from it.
    data = text_keys(read_yaml(extra, "file of platforms", CatalogueError))
    if unknown := sorted(data.keys() - {"platforms"}):
        raise CatalogueError(f"{extra}: {unknown[0]}: not known here; a file of platforms holds `platforms:` only.")
    own = _read_entries(data, extra)
    marked = {name: _mark_source(fields, extra) for name, fields in own.items()}
    below = _read_built_in()
    whole = {**below, **{name: overlay(below.get(name, {}), fields) for name, fields in marked.items()}}
    return _parse({name: _resolve(name, whole, extra, seen=()) for name in whole}, extra)


@cache
def _load_built_in() -> Platforms:
    return _parse(_read_built_in(), _BUILT_IN)


@cache
def _read_built_in() -> dict[str, _Fields]:
    entries = _read_entries(text_keys(read_yaml(_BUILT_IN, "file of platforms", CatalogueError)), _BUILT_IN)
    return {name: _resolve(name, entries, _BUILT_IN, seen=()) for name in entries}


def _read_entries(data: _Fields, path: Path) -> dict[str, _Fields]:
    entries = data.get("platforms", {})
    if not isinstance(entries, Mapping):
        raise CatalogueError(f"{path}: platforms: a mapping of names to their fields is needed.")
    for name, fields in entries.items():
        if not isinstance(fields, Mapping):
            raise CatalogueError(f"{path}: platforms.{name}: a mapping of fields is needed.")
    return {name.lower().replace(":", "x"): fields for name, fields in entries.items()}


def _mark_source(fields: _Fields, path: Path) -> _Fields:
    """Name the file as the source of every group that names none.

    The source of the platform below it is not theirs.
    """
    own = {"source": path.name, "checked_on": None}
    return {
        key: {**own, **group} if isinstance(group, Mapping) and "source" not in group else group
        for key, group in fields.items()
    }


def _resolve(name: str, entries: Mapping[str, _Fields], path: Path, *, seen: tuple[str, ...]) -> _Fields:
    fields = entries[name]
    own = {key: value for key, value in fields.items() if key != "inherits"}
    parent = fields.get("inherits")
    if parent is None:
        return own
    parent = str(parent).lower().replace(":", "x")
    if parent in seen or parent == name:
        raise CatalogueError(f"{path}: platforms.{name}.inherits: {parent} inherits from itself.")
    if parent not in entries:
        hint = did_you_mean(parent, entries)
        raise CatalogueError(f"{path}: platforms.{name}.inherits: there is no platform {parent!r}; {hint}")
    return overlay(_resolve(parent, entries, path, seen=(*seen, name)), own)


def _parse(entries: Mapping[str, _Fields], path: Path) -> Platforms:
    try:
        record = PlatformsRecord.model_validate({"platforms": entries})
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)]
        raise CatalogueError("The file of platforms is not valid:\n  " + "\n  ".join(lines[:50])) from None
    return Platforms({name: to_spec(name, platform) for name, platform in record.platforms.items()})
