"""Pages of records: settings and scripts of the rehearsal service, archive, ledger."""

from __future__ import annotations

import re
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from callsheet.archive.marker import Success
from callsheet.archive.parts import SCHEMA
from callsheet.archive.sidecar import (
    ClipRecord,
    CutMaking,
    CutRecord,
    DecisionRecord,
    FailureRecord,
    FileRecord,
    JobRecord,
    PinRecord,
    ScoreRecord,
    Sidecar,
    SubjectRecord,
    TakeRecord,
)
from callsheet.ledger import tables
from callsheet.rehearsal import faults
from callsheet.rehearsal.config import LatencyConfig, Quota, RehearsalConfig
from docs.generator.markdown import NOTE, code, default_of, table, words
from docs.generator.texts import FAULTS

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "callsheet"


def rehearsal_page() -> str:
    """Return the page of the rehearsal service's settings, its faults and the rules of a failure script."""
    listed = table(
        ("fault", "what happens"), ((code(name), FAULTS.get(name, "")) for name in get_args(faults.FaultName))
    )
    parts = ["# Rehearsal service\n", NOTE, _REHEARSAL, listed, "\n## Rules of a failure script\n\n"]
    parts += [_model_fields(one, 3) for one in (faults.Script, faults.FaultRule, faults.Match)]
    parts += ["\n## Settings file\n\n`callsheet rehearsal --config FILE` reads these from YAML.\n\n"]
    return "".join(parts + [_model_fields(one, 3) for one in (RehearsalConfig, LatencyConfig, Quota)])


_REHEARSAL = """How to use it: [Rehearse failures](../howto/rehearse-failures.md).

## Faults

"""


def _model_fields(model: type[BaseModel], level: int) -> str:
    rows = [
        (code(name), _short(type_name(field.annotation)), default_of(field) if not field.is_required() else "required")
        for name, field in model.model_fields.items()
    ]
    return f"{'#' * level} {model.__name__}\n\n{words(model.__doc__)}\n{table(('field', 'type', 'default'), rows)}\n"


def _short(text: str) -> str:
    return "one of the faults above" if text.count("|") > 12 else code(text)


def type_name(annotation: Any) -> str:
    """Return a type as a reader writes it, without modules and validators."""
    if annotation is type(None):
        return "None"
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_name(inside[0])
    if origin is Literal:
        return " | ".join(map(repr, inside))
    if origin in (Union, UnionType):
        return " | ".join(map(type_name, inside))
    name: str = getattr(annotation, "__name__", "...")
    return f"{name}[{', '.join(map(type_name, inside))}]" if inside else name


def archive_page() -> str:
    """Return the page of the archive's records: sidecar, marker and the columns of the catalogue."""
    records = (Sidecar, TakeRecord, ClipRecord, CutRecord, CutMaking, FileRecord, JobRecord, FailureRecord, ScoreRecord)
    parts = [_model_fields(one, 3) for one in (*records, SubjectRecord, DecisionRecord, PinRecord)]
    columns = table(("column", "type"), ((code(name), str(kind)) for name, kind in SCHEMA.items()))
    marker = "## `_SUCCESS.json`\n\n" + _model_fields(Success, 3)
    head = (
        "# Records of the archive\n"
        + NOTE
        + "Where they lie and in which order they are written: [Archive format](archive-format.md).\n\n"
    )
    return (
        head
        + "## `shot.json`\n\n"
        + "".join(parts)
        + marker
        + "## Catalogue\n\nThe columns of each Parquet part.\n\n"
        + columns
    )


def ledger_page() -> str:
    """Return the page of the ledger's tables, with the comments of the code."""
    source = (SOURCES / "ledger" / "tables.py").read_text(encoding="utf-8")
    comments = {
        name: text for text, name in re.findall(r'((?:^# .*\n)*)^\w+ = Table\(\s*"(\w+)"', source, re.MULTILINE)
    }
    parts = ["# Ledger schema\n", NOTE, _LEDGER]
    for one in tables.metadata.sorted_tables:
        about = " ".join(comments.get(one.name, "").replace("# ", " ").split())
        rows = (
            (
                code(column.name),
                code(_column_type(column)),
                "key" if column.primary_key else "",
                "" if column.nullable else "yes",
            )
            for column in one.columns
        )
        parts.append(f"## {one.name}\n\n{about}\n\n{table(('column', 'type', 'key', 'always there'), rows)}\n")
    return "".join(parts)


def _column_type(column: Any) -> str:
    return re.sub(r"\(.*", "", repr(column.type)) + (
        f"({column.type.length})" if getattr(column.type, "length", None) else ""
    )


_LEDGER = """One database, SQLite or PostgreSQL. `MicroUsd` is money in millionths of a dollar, `UtcTime` a time in
microseconds since 1970 (UTC). Alembic's migrations make the tables; older ledgers are brought up to date in place when
they are opened.

"""
