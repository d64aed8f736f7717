"""Reading a small YAML file that people write.

It is bounded in size, without what could grow while it is loaded.
"""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from callsheet.errors import UsageError

MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 10


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
