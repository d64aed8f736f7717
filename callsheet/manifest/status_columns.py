"""Columns that callsheet writes beside the rows of a sheet: state, link and cost.

A sheet that has them is read, and hashed, as if it had them not.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from callsheet.errors import CallsheetError
from callsheet.manifest.columns import STATUS_COLUMNS
from callsheet.manifest.csv_reader import BadSheet, Sheet, read_plain_records, read_records, read_sheet
from callsheet.manifest.problems import Findings
from callsheet.manifest.table_shape import (
    SheetRow,
    drop_title_rows,
    find_delimiter,
    find_encoding,
    read_sep_line,
)

_BREAK = re.compile(r"\r\n|\r|\n")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}")
#: What makes a spreadsheet take a text for a formula.
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True, slots=True)
class RowStatus:
    """How the shots of one row stand."""

    state: str
    link: str = ""
    cost_usd: str = ""

    @property
    def cells(self) -> tuple[str, str, str]:
        """Return the cells in the order of the columns; none is taken for a formula."""
        state, link, cost = (f"'{cell}" if cell.startswith(_FORMULA_SIGNS) else cell for cell in self._all())
        return state, link, cost

    def _all(self) -> tuple[str, str, str]:
        return self.state, self.link, self.cost_usd


_BLANK = RowStatus("")


@dataclass(frozen=True, slots=True)
class _Form:
    """How a table is written: delimiter, quotes, and the line of its header."""

    delimiter: str
    is_quoted: bool
    header_line: int


@dataclass(frozen=True, slots=True)
class _Record:
    """A record as it is written: its line, its cells, and where it ends in the text."""

    line: int
    cells: tuple[str, ...]
    start: int
    end: int


def add_status(data: bytes, file: str, status: Mapping[int, RowStatus], *, tabs: bool) -> bytes:
    """Return a CSV or TSV with the status of its rows, by line.

    All else stays as it is written. CallsheetError when that would change what the sheet says.
    """
    codec, mark = find_encoding(data)
    text = _drop_status(data[len(mark) :].decode(codec), tabs=tabs)
    form = _find_form(text, tabs=tabs)
    records = [one for one in _scan(text, form) if one.line >= form.header_line and any(map(str.strip, one.cells))]
    width = max(len(one.cells) for one in records)
    pieces, at = [], 0
    for record in records:
        added = STATUS_COLUMNS if record.line == form.header_line else status.get(record.line, _BLANK).cells
        pieces += [text[at : record.end], form.delimiter * (width - len(record.cells) + 1), form.delimiter.join(added)]
        at = record.end
    written = "".join((*pieces, text[at:]))
    if _read_rows(written, tabs=tabs) != _read_rows(text, tabs=tabs):
        raise CallsheetError(f"{file} cannot be written back: its rows would be read otherwise. It is as it was.")
    return mark + written.encode(codec)


def drop_status(data: bytes, *, tabs: bool) -> bytes:
    """Return a CSV or TSV without the columns of its status."""
    codec, mark = find_encoding(data)
    try:
        return mark + _drop_status(data[len(mark) :].decode(codec), tabs=tabs).encode(codec)
    except UnicodeError:
        return data


def write_workbook(name: str, rows: Iterable[SheetRow], header_line: int, status: Mapping[int, RowStatus]) -> bytes:
    """Return a workbook of one sheet with these rows and their status."""
    # Takes 0.1 s, which only writing back needs.
    import xlsxwriter

    data = io.BytesIO()
    plain = {f"strings_to_{kind}": False for kind in ("formulas", "urls", "numbers")}
    book = xlsxwriter.Workbook(data, {"in_memory": True, **plain})
    sheet = book.add_worksheet(name)
    kept = list(rows)
    headers = next((row.cells for row in kept if row.line == header_line), ())
    shown = [at for at, header in enumerate(headers) if header.strip() not in STATUS_COLUMNS]
    for row in kept:
        for column, at in enumerate(shown):
            text = row.cells[at]
            if _NUMBER.fullmatch(text):
                sheet.write_number(row.line - 1, column, int(text))
            elif text:
                sheet.write_string(row.line - 1, column, text)
        if row.line >= header_line:
            added = STATUS_COLUMNS if row.line == header_line else status.get(row.line, _BLANK).cells
            for column, text in enumerate(added, start=len(shown)):
                sheet.write_string(row.line - 1, column, text)
    book.close()
    return data.getvalue()


def _drop_status(text: str, *, tabs: bool) -> str:
    if STATUS_COLUMNS[0] not in text:
        return text
    form = _find_form(text, tabs=tabs)
    dropped: set[int] = set()
    pieces, at = [], 0
    for record in _scan(text, form):
        if record.line == form.header_line:
            names = [cell.strip().strip('"').strip() for cell in record.cells]
            dropped = {position for position, name in enumerate(names) if name in STATUS_COLUMNS}
        if dropped:
            kept = [cell for position, cell in enumerate(record.cells) if position not in dropped]
            pieces += [text[at : record.start], form.delimiter.join(kept)]
            at = record.end
    return "".join((*pieces, text[at:]))


def _find_form(text: str, *, tabs: bool) -> _Form:
    named = read_sep_line(text)
    delimiter = named or ("\t" if tabs else find_delimiter(text))
    try:
        records, is_quoted = list(read_records(text, delimiter)), True
    except BadSheet:
        records, is_quoted = list(read_plain_records(text)), False
    rows = drop_title_rows(records[1:] if named else records, "", Findings())
    return _Form(delimiter, is_quoted, rows[0].line if rows else 1)


def _scan(text: str, form: _Form) -> Iterator[_Record]:
    """Yield the records of a text, their cells as they are written."""
    sign = re.escape(form.delimiter)
    quoted = rf'"(?:[^"]|"")*"[^{sign}\r\n]*|' if form.is_quoted else ""
    cell = re.compile(rf"(?P<cell>{quoted}[^{sign}\r\n]*)(?P<end>{sign}|\r\n|\r|\n|\Z)")
    at, line = 0, 1
    while at < len(text):
        start, cells = at, list[str]()
        while found := cell.match(text, at):
            cells.append(found["cell"])
            at = found.end()
            if found["end"] != form.delimiter:
                break
        if not found:
            return
        yield _Record(line, tuple(cells), start, found.end("cell"))
        line += len(_BREAK.findall(text, start, at))


def _read_rows(text: str, *, tabs: bool) -> tuple[tuple[str, ...], Sequence[SheetRow]]:
    sheet: Sheet = read_sheet(text, "", tabs=tabs, findings=Findings())
    return sheet.headers, sheet.rows
