"""Reading CSV and TSV into rows that know their true line.

Whatever quoting, line ends and blank lines do.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from callsheet.errors import Problem
from callsheet.manifest.columns import COLUMNS, MAX_CELL_CHARS, MAX_COLUMNS, MAX_SHOTS, Cell
from callsheet.manifest.draft import Draft, is_known_column
from callsheet.manifest.problems import Findings, did_you_mean, quote_value
from callsheet.manifest.table_shape import (
    SheetRow,
    drop_blank_columns,
    drop_status_columns,
    drop_title_rows,
    find_delimiter,
    fit_rows,
    fold_headers,
    read_sep_line,
)
from callsheet.suggestions import nearest

# What makes a row a shot; a row without any of it was dragged down with a setting.
_CONTENT = frozenset(
    {"id", "prompt", "motion_prompt", "negative_prompt", "edits", "edit_of", "reference_images", "video_references"}
)
_CHECKBOX = frozenset({"TRUE", "FALSE"})


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: its header, the header's line, and its rows.

    Header cells are without outer blanks; all-blank rows are left out. `is_copy`: it had columns of `--write-back`.
    """

    headers: tuple[str, ...]
    header_line: int
    rows: tuple[SheetRow, ...]
    is_copy: bool = False


class BadSheet(Exception):
    """Quotes that do not fit, and the line of their record."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


def read_sheet(text: str, file: str, *, tabs: bool, findings: Findings) -> Sheet:
    """Read the table in `text`.

    Structural problems (quotes, ragged rows, headers) go to `findings`. A CSV is read with the delimiter of its header,
    as spreadsheets of many countries write it. A TSV that is not well-formed with quotes is read without any
    quoting. Title rows, blank columns and blank cells at the end of rows are left out, with a warning.
    """
    records: list[SheetRow] = []
    named = read_sep_line(text)
    delimiter = named or ("\t" if tabs else find_delimiter(text))
    try:
        records.extend(read_records(text, delimiter))
    except BadSheet as bad:
        if tabs:
            records = list(read_plain_records(text))
        else:
            allowed = f"allowed: at most {MAX_CELL_CHARS} characters in a cell, quotes doubled inside quotes"
            findings.problem(
                Problem(file, bad.line, "-", bad.what, allowed, "the rows after this one were not checked")
            )
    return shape_sheet(records[1:] if named else records, file, findings)


def shape_sheet(records: Sequence[SheetRow], file: str, findings: Findings) -> Sheet:
    """Return the table that the records are, checked."""
    own = drop_status_columns(records)
    is_copy = bool(own) and own[0] is not records[0]
    records = drop_title_rows(own, file, findings)
    if not records:
        findings.problem(Problem(file, 1, "-", "the file is empty", "needed: a header line and at least one row"))
        return Sheet((), 1, ())
    line, headers = records[0].line, tuple(cell.strip() for cell in records[0].cells)
    if len(headers) > MAX_COLUMNS:
        what, allowed = f"{len(headers)} columns are too many", f"allowed: at most {MAX_COLUMNS}"
        findings.problem(Problem(file, line, "-", what, allowed, "leave out those that no text uses"))
        return Sheet((), line, ())
    rows = fit_rows(headers, (row for row in records[1:] if not row.is_blank), file, findings)
    headers, rows = drop_blank_columns(headers, rows, (file, line), findings)
    _check_headers(headers, file, line, findings=findings)
    if not rows and not findings.problems:
        findings.problem(Problem(file, line, "-", "there is a header but no row", "needed: at least one row"))
    checked = tuple(_check_row(row, headers, file, findings=findings) for row in rows)
    return Sheet(headers, line, checked, is_copy)


def read_records(text: str, delimiter: str) -> Iterator[SheetRow]:
    """Yield the records of a table with quotes. BadSheet where these do not fit."""
    # newline="" leaves line ends to the csv module, as it asks; its line_num then counts physical lines.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise BadSheet(start, _explain(str(error))) from None
        if cells:
            yield SheetRow(start, tuple(cells))
        start = reader.line_num + 1


def _explain(error: str) -> str:
    if "unexpected end of data" in error:
        return "a quoted cell that starts in this row is never closed"
    if "field larger" in error:
        return "a cell is too long, or its quote is never closed"
    return f"the quotes do not fit: {error}"


def read_plain_records(text: str) -> Iterator[SheetRow]:
    """Yield the lines of a table without quotes, split at tabs."""
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if line.strip():
            yield SheetRow(number, tuple(line.rstrip("\n").split("\t")))


def _check_headers(headers: tuple[str, ...], file: str, line: int, *, findings: Findings) -> None:
    seen: set[str] = set()
    for position, name in enumerate(headers, start=1):
        if not name:
            findings.problem(
                Problem(file, line, f"column {position}", "the header is blank", "needed: a name for each column")
            )
        elif name in seen and name in COLUMNS:
            findings.problem(
                Problem(file, line, name[:60], "the header occurs twice", "allowed: each name once", "rename one")
            )
        elif name in seen:
            what = "the header occurs twice: the first of them is the variable"
            findings.warn(Problem(file, line, name[:60], what, "", "rename one"))
        elif len(name) > 100 or "{" in name or "}" in name:
            findings.problem(
                Problem(file, line, quote_value(name), "not fit for a header", "allowed: 100 characters, no braces")
            )
        seen.add(name)


def _check_row(row: SheetRow, headers: tuple[str, ...], file: str, *, findings: Findings) -> SheetRow:
    """Return the row with what is wrong with its shape, which is noted."""
    found = []
    if len(row.cells) != len(headers):
        what, hint = f"the row has {len(row.cells)} cells, the header {len(headers)}", "quote cells with the delimiter"
        found.append(Problem(file, row.line, "-", what, "needed: one cell for each header", hint))
    for name, cell in zip(headers, row.cells, strict=False):
        if len(cell) > MAX_CELL_CHARS:
            what = f"the cell has {len(cell)} characters"
            found.append(Problem(file, row.line, name[:60], what, f"allowed: at most {MAX_CELL_CHARS}"))
    for problem in found:
        findings.problem(problem)
    return replace(row, problems=tuple(found)) if found else row


def rows_within_limit(rows: tuple[SheetRow, ...], file: str, findings: Findings) -> tuple[SheetRow, ...]:
    """Return the rows, cut off with a problem beyond the limit of shots."""
    if len(rows) > MAX_SHOTS:
        line = rows[MAX_SHOTS].line
        findings.problem(
            Problem(file, line, "-", f"{len(rows)} rows are too many", f"allowed: at most {MAX_SHOTS} shots")
        )
    return rows[:MAX_SHOTS]


def drafts_of(
    sheet: Sheet, file: str, columns: Mapping[str, str], variables: Mapping[str, str], findings: Findings
) -> list[Draft]:
    """Return one draft per row.

    `columns` maps a column of ours to a header of the table; such cells are taken literally. A row without an id is
    labelled by its position: 0001, 0002 and so on, whatever its line.
    """
    sources = _find_sources(sheet, file, columns, findings=findings)
    mapped = frozenset(columns)
    positions = {header: sheet.headers.index(header) for header in sheet.headers}
    extra = [(header, index) for header, index in positions.items() if sources.get(header) != index]
    drafts = []
    for number, row in enumerate(rows_within_limit(sheet.rows, file, findings), start=1):
        cells: dict[str, Cell] = {
            column: text
            for column, index in sources.items()
            if index < len(row.cells) and (text := row.cells[index].strip())
        }
        own = {header: row.cells[index].strip() for header, index in extra if index < len(row.cells)}
        merged = {**variables, **own}
        literal, problems = mapped & cells.keys(), list(row.problems)
        drafts.append(Draft(file, row.line, cells, merged, f"{number:04d}", literal, problems=problems))
    return drafts


def fold_sheet(sheet: Sheet, file: str, columns: Mapping[str, str], has_prompts: bool, findings: Findings) -> Sheet:
    """Return the sheet, headers that mean a column of ours named as it is.

    Each has a warning.

    Not where prompts come from elsewhere (`has_prompts`): such a sheet was always read as it is.
    """
    meant = {} if has_prompts else fold_headers(sheet.headers, frozenset(columns.values()))
    for position, column in meant.items():
        header = sheet.headers[position]
        findings.warn(Problem(file, sheet.header_line, header[:60], f"{quote_value(header)} is read as {column}"))
    return replace(sheet, headers=tuple(meant.get(at, header) for at, header in enumerate(sheet.headers)))


def leave_out_dragged(drafts: Sequence[Draft], findings: Findings) -> list[Draft]:
    """Return the drafts without rows that hold settings alone.

    Dragging a column down leaves such rows; one warning tells of all.

    Their places in the numbering stay.
    """
    kept, dragged, above = [], [], dict[str, str]()
    for draft in drafts:
        of_itself = (text for name, text in draft.variables.items() if text and text != above.get(name))
        if _CONTENT & draft.cells.keys() or any(text.upper() not in _CHECKBOX for text in of_itself):
            kept.append(draft)
        else:
            dragged.append(draft)
        above = dict(draft.variables)
    if dragged and kept:
        lines = ", ".join(str(draft.line) for draft in dragged[:5]) + (", ..." if len(dragged) > 5 else "")
        what = f"{len(dragged)} row{'s' if len(dragged) > 1 else ''} without a prompt left out: line {lines}"
        findings.warn(Problem(dragged[0].file, dragged[0].line, "prompt", what))
    return kept or list(drafts)


def _find_sources(sheet: Sheet, file: str, columns: Mapping[str, str], *, findings: Findings) -> dict[str, int]:
    """Return the position in the table of each column of ours."""
    positions = {header: sheet.headers.index(header) for header in sheet.headers}
    sources = {header: index for header, index in positions.items() if header in COLUMNS}
    for column, header in columns.items():
        if not is_known_column(column, (file, sheet.header_line), findings, where="columns"):
            continue
        if header in positions:
            sources[column] = positions[header]
        elif sheet.headers:
            what = f"the table has no column {quote_value(header)} to take {column} from"
            listed = f"the table has: {', '.join(sheet.headers[:30])}"
            findings.problem(
                Problem(file, sheet.header_line, column, what, listed, did_you_mean(header, sheet.headers))
            )
    return sources


def check_prompt_column(
    sheet: Sheet, file: str, columns: Mapping[str, str], elsewhere: bool, findings: Findings
) -> bool:
    """Return whether there are prompts, in this table or `elsewhere`.

    If not, a problem names the header that looks like one.
    """
    if "prompt" in columns:
        return columns["prompt"] in sheet.headers
    if elsewhere or not sheet.headers or "prompt" in sheet.headers:
        return True
    guess = nearest("prompt", [header for header in sheet.headers if header not in COLUMNS], 75)
    hint = f"rename {guess!r} to 'prompt', or map it in a YAML file: columns: {{prompt: {guess}}}" if guess else ""
    listed = f"the table has: {', '.join(sheet.headers[:30])}"
    findings.problem(Problem(file, sheet.header_line, "prompt", "there is no column prompt", listed, hint))
    return False


def note_lookalikes(
    sheet: Sheet, file: str, columns: Mapping[str, str], used: frozenset[str], findings: Findings
) -> None:
    """Note headers that are no column, and which look like a misspelt one.

    These are warnings, and reasons not to pay; the others matter with `--strict`. Not those used as a placeholder.
    """
    known = {*COLUMNS, *used, *columns.values()}
    missing = tuple(column for column in COLUMNS if column not in set(sheet.headers))
    for header in sheet.headers:
        if not header or header in known:
            continue
        what = f"{quote_value(header)} is taken as a template variable, and no text uses it"
        guess = nearest(header, missing, 85)
        problem = Problem(file, sheet.header_line, header[:60], what)
        findings.unused.append(replace(problem, suggestion=did_you_mean(header, missing)))
        if guess:
            findings.near_misses.append(replace(problem, suggestion=f"did you mean the column {guess}?"))
