"""A sheet of an .xlsx workbook as the rows that its CSV would have.

Values are read by python-calamine: of a formula the value that was saved with it. A number is written as its value and
a date as 2026-11-30, whatever their format shows.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote

from callsheet.errors import Problem
from callsheet.manifest.problems import Findings, TableCells, did_you_mean, name_cell, quote_value
from callsheet.manifest.table_shape import MOST_ROWS_ABOVE, SheetRow, fold
from callsheet.manifest.workbook_package import NO_VALUE, SheetScan, refuse, scan_sheet, unpack_workbook

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook

_PROMPTS = frozenset({"prompt", "motion_prompt"})
_MOST_SHEETS = 100
_LINES_TOLD = 5

Value = str | int | float | bool | date | datetime | time | timedelta


@dataclass(frozen=True, slots=True)
class WorkbookSheet:
    """One sheet of a workbook: its name, and the rows that hold something."""

    name: str
    rows: tuple[SheetRow, ...]
    scan: SheetScan
    merged: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = ()


def read_workbook(data: bytes, file: str, wanted: str, prompts: Collection[str], findings: Findings) -> WorkbookSheet:
    """Return the sheet that is `wanted` by name.

    "" is the first one to be seen that has a header of prompts, of ours or among `prompts`; which one is told.
    Raises ManifestError when there is no such sheet, or none can be read.
    """
    # A native module that only workbooks need.
    from python_calamine import CalamineError, SheetTypeEnum, SheetVisibleEnum, load_workbook

    parts = unpack_workbook(data, file)
    try:
        book = load_workbook(io.BytesIO(parts.package))
        known = [one for one in book.sheets_metadata if one.typ == SheetTypeEnum.WorkSheet and one.name in parts.sheets]
        seen = [one.name for one in known if one.visible == SheetVisibleEnum.Visible]
        names = _choose(wanted, [one.name for one in known], seen, file)
        sheets = (_read(book, name, scan_sheet(parts.sheets[name], file, name)) for name in names)
        sheet = _pick(sheets, {*_PROMPTS, *map(fold, prompts)})
    except CalamineError as error:
        refuse(file, f"the workbook is damaged: {error}", suggestion="open it and save it again as .xlsx")
    if len(seen) > 1 and not wanted:
        what = f"sheet {quote_value(sheet.name)} was read, of {len(seen)}"
        other = next(name for name in reversed(seen) if name != sheet.name)
        findings.warn(Problem(file, 1, "-", what, "", f"name another one behind a hash: #{other}"))
    return sheet


def _choose(wanted: str, known: Sequence[str], seen: Sequence[str], file: str) -> list[str]:
    """Return the sheets to look at: the one that is wanted, or those that can be seen."""
    if not wanted:
        if not seen:
            refuse(file, "the workbook has no sheet to be seen", suggestion="name one behind a hash: file.xlsx#Sheet")
        return list(seen[:_MOST_SHEETS])
    for spelling in (wanted, unquote(wanted)):
        if spelling in known:
            return [spelling]
    folded = [name for name in known if name.casefold().strip() == unquote(wanted).casefold().strip()]
    if len(folded) != 1:
        listed = f"the workbook has: {', '.join(known[:30])}"
        refuse(file, f"there is no sheet {quote_value(wanted)}", listed, did_you_mean(wanted, known))
    return folded


def _read(book: CalamineWorkbook, name: str, scan: SheetScan) -> WorkbookSheet:
    sheet = book.get_sheet_by_name(name)
    rows = []
    for number, values in enumerate(sheet.to_python(skip_empty_area=False), start=1):
        cells = [write_value(value) for value in values]
        cells += [""] * (scan.columns - len(cells))
        rows.append(SheetRow(number, tuple(cells)))
    rows += [SheetRow(number, ("",) * scan.columns) for number in range(len(rows) + 1, scan.rows + 1)]
    for (row, column), text in scan.odd.items():
        cells = [*rows[row - 1].cells]
        cells[column - 1] = "" if text == NO_VALUE else text
        rows[row - 1] = replace(rows[row - 1], cells=tuple(cells))
    filled = tuple(row for row in rows if not row.is_blank)
    return WorkbookSheet(name, filled, scan, tuple(sheet.merged_cell_ranges or ()))


def _pick(sheets: Iterable[WorkbookSheet], prompts: Collection[str]) -> WorkbookSheet:
    """Return the first sheet with a header of prompts, else the first."""
    first: WorkbookSheet | None = None
    for sheet in sheets:
        if any(fold(cell) in prompts for row in sheet.rows[:MOST_ROWS_ABOVE] for cell in row.cells):
            return sheet
        first = first or sheet
    assert first is not None  # noqa: S101 - there is at least one to look at
    return first


def write_value(value: Value) -> str:
    """Return a value of a cell as the text that a CSV would have."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        # A spreadsheet keeps 15 digits.
        return str(int(value)) if abs(value) < 10**15 and value == int(value) else f"{value:.15g}"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "seconds")
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
    return value.isoformat("seconds") if isinstance(value, time) else value.isoformat()


def name_places(sheet: WorkbookSheet, header_line: int, columns: Mapping[str, str]) -> TableCells:
    """Return how the places of a sheet are called.

    `columns` maps a column of ours to the header that a person means by it.
    """
    headers = next((row.cells for row in sheet.rows if row.line == header_line), ())
    named: dict[str, int] = {}
    for position, header in enumerate(headers, start=1):
        for name in (header.strip(), fold(header)):
            named.setdefault(name, position)
    return TableCells(sheet.name, {**named, **{ours: named[name] for ours, name in columns.items() if name in named}})


def note_traps(sheet: WorkbookSheet, header_line: int, file: str, findings: Findings) -> None:
    """Note formulas without a value, hidden rows and merged cells."""
    lacking = sorted(place for place, text in sheet.scan.odd.items() if text == NO_VALUE and place[0] >= header_line)
    if lacking:
        many = f"{len(lacking)} formulas have" if len(lacking) > 1 else "the formula has"
        hint = "open the workbook in a spreadsheet program and save it: what wrote it does not calculate"
        findings.problem(Problem(file, lacking[0][0], "-", f"{many} no value", "", hint, name_cell(*lacking[0])))
    if hidden := [row for row in sheet.scan.hidden if row >= header_line]:
        many = f"{len(hidden)} hidden rows are" if len(hidden) > 1 else "a hidden row is"
        told = ", ".join(map(str, hidden[:_LINES_TOLD])) + (", ..." if len(hidden) > _LINES_TOLD else "")
        what = f"{many} read as well: line {told}"
        findings.warn(Problem(file, hidden[0], "-", what, "", "delete those that are not to be made"))
    below = [(first, last) for first, last in sheet.merged if first[0] != last[0] and last[0] >= header_line]
    if below:
        (row, column), _ = below[0]
        what = f"of merged cells only the first has the value: {len(below)} range{'s' if len(below) > 1 else ''}"
        findings.warn(Problem(file, row + 1, "-", what, cell=name_cell(row + 1, column + 1)))
