"""The JSON Schema of the YAML form, for editors.

It is made from the same columns that the reader checks.
"""

from __future__ import annotations

from callsheet.manifest.columns import (
    CAMPAIGN_PATTERN,
    COLUMNS,
    MAX_CELL_CHARS,
    MAX_CHAIN,
    MAX_CLIPS,
    MAX_SEED,
    MAX_SHOTS,
    MAX_TAKES,
    SELECT_PATTERN,
)
from callsheet.manifest.yaml_schema import MAPPINGS, NOT_DEFAULTS
from callsheet.platforms import load_platforms

_Schema = dict[str, object]
_TEXT: _Schema = {"type": ["string", "number", "boolean", "null"], "maxLength": MAX_CELL_CHARS}
# A value that a template makes is checked when it is filled, not by an editor.
_TEMPLATE: _Schema = {"type": "string", "pattern": r"\{"}
_RANGES = {"takes": (0, MAX_TAKES), "seed": (0, MAX_SEED), "duration_s": (1, 3600)}
_RANGES |= {"extend": (0, MAX_CHAIN), "clips": (1, MAX_CLIPS)}
_MATRIX: _Schema = {
    "type": "object",
    "description": "Variables or columns with their values; the shot is made once for each combination.",
    "additionalProperties": {"type": "array", "items": {"type": ["string", "number", "boolean"]}, "minItems": 1},
}


def manifest_json_schema() -> _Schema:
    """Return the schema of a YAML manifest (JSON Schema draft 2020-12)."""
    cells = {name: _describe_cell(name) for name in COLUMNS}
    defaults = {name: {"$ref": f"#/$defs/{name}"} for name in COLUMNS if name not in NOT_DEFAULTS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "callsheet manifest",
        "description": "A campaign of pictures and clips, written as shots or made from the rows of a table.",
        "type": "object",
        "additionalProperties": False,
        "anyOf": [{"required": ["shots"]}, {"required": ["rows"]}],
        "properties": {
            "campaign": {
                "type": "string",
                "pattern": CAMPAIGN_PATTERN,
                "description": "Name of the campaign and of its folder; the file's name when absent.",
            },
            "budget_usd": {"type": "number", "minimum": 0, "description": "No run may take spending over this."},
            "defaults": {
                "type": "object",
                "description": "Values for shots that do not give their own.",
                "properties": defaults,
                "additionalProperties": False,
            },
            "vars": {
                "type": "object",
                "description": "Variables for {placeholders}; --var on the command line overrides them.",
                "additionalProperties": _TEXT,
            },
            "matrix": {"$ref": "#/$defs/matrix"},
            "rows": {
                "type": "string",
                "description": 'A CSV or TSV file beside this one, or "{name}" to take its path from --var name=PATH.',
            },
            "columns": {
                "type": "object",
                "description": "Takes a column from a header of the table; such cells are used as they are.",
                "properties": {name: {"type": "string"} for name in COLUMNS},
                "additionalProperties": False,
            },
            "shots": {
                "type": "array",
                "description": "The shots; with `rows`, each is made once for each row.",
                "minItems": 1,
                "maxItems": MAX_SHOTS,
                "items": {"$ref": "#/$defs/shot"},
            },
        },
        "$defs": {
            **cells,
            "matrix": _MATRIX,
            "shot": _describe_shot(),
        },
    }


def _describe_shot() -> _Schema:
    cells = {name: {"$ref": f"#/$defs/{name}"} for name in COLUMNS}
    return {
        "type": "object",
        "description": "One shot; any further key is a variable for {placeholders}.",
        "properties": {**cells, "matrix": {"$ref": "#/$defs/matrix"}},
        "additionalProperties": _TEXT,
    }


def _describe_cell(name: str) -> _Schema:
    column = COLUMNS[name]
    described: _Schema = {"description": column.description}
    if name in _RANGES:
        low, high = _RANGES[name]
        return {
            **described,
            "anyOf": [{"type": "integer", "minimum": low, "maximum": high}, _describe_digits(), _TEMPLATE],
        }
    if name == "select":
        numbers: _Schema = {"type": "integer", "minimum": 1, "maximum": MAX_TAKES}
        text: _Schema = {"type": "string", "pattern": SELECT_PATTERN}
        return {**described, "anyOf": [text, numbers, {"type": "array", "items": numbers}, _TEMPLATE]}
    if column.kind == "texts":
        texts: _Schema = {"type": "array", "items": {"type": "string"}, "maxItems": MAX_CHAIN}
        return {**described, "anyOf": [texts, {"type": ["string", "null"]}]}
    if column.kind == "list":
        item: _Schema = {"enum": list(load_platforms().names)} if name == "cuts" else {"type": ["string", "number"]}
        forms: list[_Schema] = [{"type": "array", "items": item}, {"type": ["string", "null"]}]
        pairs: _Schema = {"type": "object", "additionalProperties": {"type": "string"}}
        return {**described, "anyOf": [*forms, pairs] if name in MAPPINGS else forms}
    return {**described, **_TEXT}


def _describe_digits() -> _Schema:
    return {"type": ["string", "null"], "pattern": "^[0-9]*$"}
