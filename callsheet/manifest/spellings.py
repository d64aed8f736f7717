"""Values and texts as spreadsheets and people write them: respelt, or suspected.

Values are 1.0, 8s, 4K, 720P, 12,000, and ratios that became a time of day. What can be meant in one way only is read
so, and told once a column; whatever else stays what it is, for the checks to refuse.

Texts are never touched. Errors and formulas of a spreadsheet or another system keep the requests of their shot from
being sent; what may be meant is a warning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from callsheet.errors import Problem
from callsheet.manifest.columns import COLUMNS, Cell
from callsheet.manifest.draft import Draft
from callsheet.manifest.problems import Findings, quote_value
from callsheet.models import Catalogue, Refusal

_DECIMAL = re.compile(r"\+?([0-9]{1,10})[.,]0{1,2}")
_THOUSANDS = re.compile(r"\+?[0-9]{1,3}(?:([, '\u00a0\u202f\u2019])[0-9]{3})(?:\1[0-9]{3})*")
_SECONDS = re.compile(r"([0-9]{1,4})(?:[.,]0{1,2})?\s*(?:s|secs?|seconds?|sek|sekunden)\.?", re.IGNORECASE)
_SIZE = re.compile(r"([0-9]{1,4})\s*k", re.IGNORECASE)
_LINES = re.compile(r"([0-9]{3,4})\s*p?", re.IGNORECASE)
_TIME_OF_DAY = re.compile(r"0?([0-9]{1,2}):0?([0-9]{1,2})(?::00)?")
_RATIO = re.compile(r"([0-9]{1,2})\s*[x\u00d7/:]\s*([0-9]{1,2})", re.IGNORECASE)
# What each text is for: a picture, a video, or both.
_TEXTS = {
    "prompt": ("image", "video"),
    "negative_prompt": ("image", "video"),
    "system_instruction": ("image",),
    "edits": ("image",),
    "motion_prompt": ("video",),
}
# Errors of Excel, LibreOffice and Google Sheets (their function references, 2026-11).
_ERROR = re.compile(
    r"#(?:REF!|N/A|VALUE!|DIV/0!|NAME\?|NULL!|NUM!|SPILL!|CALC!|FIELD!|GETTING_DATA|BLOCKED!|UNKNOWN!|ERROR!|NAME!)"
    r"|Err:[0-9]{3}|Loading\.\.\.",
    re.IGNORECASE,
)
_FORMULA = re.compile(r"=\s*(?:[A-Z][A-Z0-9.]*\s*\(|\$?[A-Z]{1,3}\$?[0-9]+|\"|'?[^'!]{1,60}'?![A-Z$])")
_FOREIGN = re.compile(r"\$\{[^{}]{1,60}\}|\{\{[^{}]{1,60}\}\}|\{%[^{}]{1,60}%\}|<<[^<>]{1,60}>>|%[A-Za-z_]{2,40}%")


def respell(drafts: Iterable[Draft], catalogue: Catalogue, findings: Findings) -> None:
    """Read the values of these drafts as they are meant, in place.

    There is one warning for each column. What a model of the catalogue takes as it is written stays so.
    """
    models = catalogue.models()
    taken = {value for model in models for value in (*model.aspect_ratios, *model.sizes, *model.resolutions)}
    mended: dict[str, _Mended] = {}
    for draft in drafts:
        for column, read in _READERS.items():
            text = draft.cells.get(column)
            if isinstance(text, str) and text not in taken and (meant := read(text)) not in (None, text):
                first = mended.setdefault(column, _Mended(draft.place_of(column), text, meant))
                first.count += 1
                draft.cells[column] = meant
    for column, first in mended.items():
        many = f"{first.count} values such as " if first.count > 1 else ""
        what = f"{many}{quote_value(first.written)} is read as {first.meant}"
        findings.warn(Problem(*first.place, column, what))


@dataclass(slots=True)
class _Mended:
    place: tuple[str, int]
    written: str
    meant: str
    count: int = 0


def _read_whole(text: str) -> str | None:
    if found := _DECIMAL.fullmatch(text):
        return found[1]
    return re.sub(r"[^0-9]", "", text) if _THOUSANDS.fullmatch(text) else None


def _read_seconds(text: str) -> str | None:
    found = _SECONDS.fullmatch(text)
    return found[1] if found else _read_whole(text)


def _read_size(text: str) -> str | None:
    found = _SIZE.fullmatch(text)
    return f"{found[1]}K" if found else _read_whole(text)


def _read_resolution(text: str) -> str | None:
    if found := _SIZE.fullmatch(text):
        return f"{found[1]}k"
    found = _LINES.fullmatch(text)
    return f"{found[1]}p" if found else None


def _read_ratio(text: str) -> str | None:
    found = _TIME_OF_DAY.fullmatch(text) or _RATIO.fullmatch(text)
    return f"{int(found[1])}:{int(found[2])}" if found else None


_READERS: dict[str, Callable[[str], str | None]] = {
    **{name: _read_whole for name, column in COLUMNS.items() if column.kind == "whole"},
    "duration_s": _read_seconds,
    "image_size": _read_size,
    "resolution": _read_resolution,
    "aspect_ratio": _read_ratio,
    "video_aspect_ratio": _read_ratio,
}


def is_json_object(text: str) -> bool:
    """Return whether a text is a JSON object, which holds no placeholders.

    Prompts for Veo are written so.
    """
    if not text.lstrip().startswith("{") or not text.rstrip().endswith("}"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def take_json_literally(drafts: Iterable[Draft]) -> None:
    """Mark prompts that are JSON objects as literal, in place."""
    for draft in drafts:
        found = {name for name in _TEXTS if isinstance(text := draft.cells.get(name), str) and is_json_object(text)}
        if found:
            draft.literal |= found


def check_texts(drafts: Iterable[Draft], findings: Findings) -> None:
    """Note the texts that are no prompt: not to be sent, or warned of."""
    for draft in drafts:
        for column, kinds in _TEXTS.items():
            for text in _list_texts(draft.cells.get(column)):
                if what := _judge(text):
                    refusal = Refusal(column, what, "", "write the text itself into the sheet: paste its values")
                    for kind in kinds:
                        draft.unsendable(findings, kind, refusal)  # type: ignore[arg-type]


def warn_of_foreign_placeholders(drafts: Iterable[Draft], findings: Findings) -> None:
    """Warn, once a column, of placeholders of other systems.

    They are sent as they are.
    """
    told: set[str] = set()
    for draft in drafts:
        for column in _TEXTS.keys() - told - draft.literal:
            for text in _list_texts(draft.cells.get(column)):
                if found := _FOREIGN.search(text):
                    told.add(column)
                    what = f"{quote_value(found[0])} is no placeholder here, and is sent as it is"
                    findings.warn(Problem(*draft.place_of(column), column, what, "", "placeholders are {name}"))
                    break


def _judge(text: str) -> str:
    """Return what a text is instead of a prompt, "" for a prompt."""
    stripped = text.strip()
    if _ERROR.fullmatch(stripped):
        return f"{quote_value(stripped)} is an error of the spreadsheet"
    return f"{quote_value(stripped)} is a formula of the spreadsheet" if _FORMULA.match(stripped) else ""


def _list_texts(cell: Cell | None) -> tuple[str, ...]:
    return (cell,) if isinstance(cell, str) else (cell or ())
