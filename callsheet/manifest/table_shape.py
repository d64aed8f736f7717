"""The shape of a sheet as spreadsheets write it: encoding, delimiter, and headers.

Also its title rows, blank columns, and rows of other lengths.

A guess of an encoding that could be wrong would be paid for, as a prompt with other letters. So only what is surely
text of Western Europe is read as Windows-1252, or UTF-16 without its mark; whatever else is told.

A header may mean a column of ours without being written so. A sheet that has its `prompt` under that very name is read
as it always was: what its other headers mean has decided what was paid for.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from callsheet.errors import ManifestError, Problem
from callsheet.manifest.columns import COLUMNS, STATUS_COLUMNS
from callsheet.manifest.problems import Findings
from callsheet.sources import decode

_SEP_LINE = re.compile(r"\ufeff?\"?sep=(.)\"?[;,\t|]*\r?\n", re.IGNORECASE)
_DELIMITERS = ",;\t|"
# A title, a date and an empty line stand above a header, not a page.
MOST_ROWS_ABOVE = 10
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_BETWEEN_WORDS = re.compile(r"[\s\-\u2013\u2014_./]+")
# Letters of Western Europe, and the signs that word processors put in place of plain ones, as bytes of Windows-1252:
# not those of Iceland, which are those of Turkey in Windows-1254.
_LETTERS = bytes({*range(0xC0, 0x100)} - {0xD0, 0xDD, 0xDE, 0xF0, 0xFD, 0xFE}) + b"\x8c\x9c"
_SIGNS = bytes.fromhex("808284859192939495969799a0a1a3a9abaeb0b2b3b4b7bbbcbdbebfd7")
# Text of other scripts has whole words beyond ASCII; that of Central Europe has signs inside words.
_FOREIGN_WORD = re.compile(rb"[" + re.escape(_LETTERS) + rb"]{4}")
_INSIDE_WORD = re.compile(rb"[A-Za-z\xc0-\xff][\xa1\xa3\xb2\xb3\xbc\xbd\xbe\xbf][a-z\xc0-\xff]|\xa3[A-Za-z\xc0-\xff]")
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_SAMPLE = 4096


@dataclass(frozen=True, slots=True)
class SheetRow:
    """The cells of one record as written, and the 1-based line it starts on.

    The line is the physical one. `problems` are of its shape.
    """

    line: int
    cells: tuple[str, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def is_blank(self) -> bool:
        """Whether no cell holds anything."""
        return not any(cell.strip() for cell in self.cells)


def read_sep_line(text: str) -> str | None:
    """Return the delimiter that Excel's first line `sep=;` names, None without one."""
    found = _SEP_LINE.match(text)
    return found[1] if found else None


def find_delimiter(text: str) -> str:
    """Return the delimiter of the header.

    It is the usual one, unless another one shows more columns of ours.
    """
    header = text.lstrip().partition("\n")[0]
    usual = "," if "," in header else max(",;\t", key=header.count)
    if "prompt" in _split(header, usual):
        return usual
    lines = [line for line in text.splitlines()[:MOST_ROWS_ABOVE] if line.strip()]
    most = {mark: max((count_columns(_split(line, mark)) for line in lines), default=0) for mark in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda mark: most[mark])
    return best if most[best] > most[usual] else usual


def _split(line: str, mark: str) -> list[str]:
    return [cell.strip().strip('"').strip() for cell in line.split(mark)]


def drop_title_rows(records: Sequence[SheetRow], file: str, findings: Findings) -> list[SheetRow]:
    """Return the records from the header on; what stands above it is told.

    The first record is the header, unless it names no column of ours and a later one names a prompt and one more.
    """
    above = next((number for number, row in enumerate(records[:MOST_ROWS_ABOVE]) if _is_header(row)), 0)
    if not above or count_columns(records[0].cells):
        return list(records)
    what = f"{above} row{'s' if above > 1 else ''} above the header left out"
    findings.warn(Problem(file, records[0].line, "-", what, "", f"the header is line {records[above].line}"))
    return list(records[above:])


def _is_header(row: SheetRow) -> bool:
    names = {fold(cell) for cell in row.cells}
    return bool(names & {"prompt", "motion_prompt"}) and len(names & COLUMNS.keys()) > 1


def fit_rows(headers: Sequence[str], rows: Iterable[SheetRow], file: str, findings: Findings) -> list[SheetRow]:
    """Return the rows with a cell for each header.

    Where others than blank cells are too many, a row stays as it is. One warning tells of all.
    """
    fitted, short, long = [], [], []
    for row in rows:
        missing = len(headers) - len(row.cells)
        if missing > 0:
            short.append(row.line)
            row = replace(row, cells=(*row.cells, *("",) * missing))
        elif missing < 0 and not any(cell.strip() for cell in row.cells[len(headers) :]):
            long.append(row.line)
            row = replace(row, cells=row.cells[: len(headers)])
        fitted.append(row)
    for lines, what in ((short, "cells than the header: those that are missing are blank"), (long, "blank cells")):
        if lines:
            many = f"{len(lines)} rows have" if len(lines) > 1 else "the row has"
            which = "fewer" if lines is short else "further"
            findings.warn(Problem(file, lines[0], "-", f"{many} {which} {what}"))
    return fitted


def drop_blank_columns(
    headers: tuple[str, ...], rows: list[SheetRow], place: tuple[str, int], findings: Findings
) -> tuple[tuple[str, ...], list[SheetRow]]:
    """Return header and rows without columns that have no name and hold nothing.

    One warning tells of all.
    """
    named = [position for position, name in enumerate(headers) if name]
    nameless = [position for position, name in enumerate(headers) if not name]
    blank = [at for at in nameless if not any(at < len(row.cells) and row.cells[at].strip() for row in rows)]
    if not blank:
        return headers, rows
    kept = sorted({*named, *nameless} - set(blank))
    findings.warn(Problem(*place, f"column {blank[0] + 1}", f"{len(blank)} blank columns left out"))
    beyond = len(headers)
    fitted = [
        replace(row, cells=(*(row.cells[at] for at in kept if at < len(row.cells)), *row.cells[beyond:]))
        for row in rows
    ]
    return tuple(headers[at] for at in kept), fitted


def fold(header: str) -> str:
    """Return a header as columns of ours are written.

    `Motion Prompt` is motion_prompt.
    """
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFKC", header))
    return _BETWEEN_WORDS.sub("_", visible.strip().casefold()).strip("_")


def fold_headers(headers: Sequence[str], kept: Collection[str] = ()) -> dict[int, str]:
    """Return the columns that headers mean without being written so, by position.

    None does in a sheet with a header `prompt`, nor where the names in `kept` stand: those are mapped by the person, or
    used as placeholders. A column that two headers mean, or one has by its own name, goes to none.
    """
    if "prompt" in headers:
        return {}
    meant = {
        position: fold(header)
        for position, header in enumerate(headers)
        if header not in COLUMNS and header not in kept and fold(header) in COLUMNS
    }
    times = Counter(meant.values())
    return {position: name for position, name in meant.items() if times[name] == 1 and name not in headers}


def count_columns(headers: Sequence[str]) -> int:
    """Return how many headers are, or mean, a column of ours."""
    return len({fold(header) for header in headers} & COLUMNS.keys())


def decode_sheet(data: bytes, file: str, findings: Findings) -> str:
    """Return the text of a sheet; a guess of its encoding is a warning.

    Raises ManifestError for what is no text, or text whose encoding cannot be known.
    """
    if data.startswith(_WORKBOOKS):
        raise _refuse(file, "this is a workbook, not text", "name it .xlsx, or save it as CSV (UTF-8)")
    guess = _guess_encoding(data)
    if guess is None:
        return decode(data, file)
    try:
        text = data.decode(guess)
    except UnicodeDecodeError:
        return decode(data, file)
    name = "Windows-1252" if guess == "cp1252" else guess.upper()
    what = f"the text is not UTF-8: it was read as {name}"
    findings.warn(Problem(file, _first_line_beyond_ascii(text), "-", what, "", "save it as UTF-8 to be sure"))
    return text


def find_encoding(data: bytes) -> tuple[str, bytes]:
    """Return the codec of a sheet's text, and the byte order mark before it."""
    marks = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
    mark = next((mark for mark in marks if data.startswith(mark)), b"")
    return marks.get(mark) or _guess_encoding(data) or "utf-8", mark


def drop_status_columns(records: Sequence[SheetRow]) -> list[SheetRow]:
    """Return the records without the columns that `run --write-back` adds."""
    header = next((row for row in records[:MOST_ROWS_ABOVE] if STATUS_COLUMNS[0] in map(str.strip, row.cells)), None)
    if header is None:
        return list(records)
    dropped = {at for at, name in enumerate(header.cells) if name.strip() in STATUS_COLUMNS}
    return [
        replace(row, cells=tuple(cell for at, cell in enumerate(row.cells) if at not in dropped)) for row in records
    ]


def _guess_encoding(data: bytes) -> str | None:
    """Return the encoding that the bytes surely have.

    None for UTF-8 and for what is not sure.
    """
    sample = data[:_SAMPLE]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if max(even, odd) > len(sample) // 4 and min(even, odd) == 0:
        return "utf-16-le" if odd else "utf-16-be"
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "cp1252" if _is_western(data) else None
    return None


def _is_western(data: bytes) -> bool:
    beyond = {byte for byte in data if byte > 0x7F}
    return beyond <= {*_LETTERS, *_SIGNS} and not _FOREIGN_WORD.search(data) and not _INSIDE_WORD.search(data)


def _first_line_beyond_ascii(text: str) -> int:
    return next((number for number, line in enumerate(text.splitlines(), start=1) if not line.isascii()), 1)


def _refuse(file: str, what: str, suggestion: str) -> ManifestError:
    return ManifestError((Problem(file, 1, "-", what, "allowed: CSV, TSV or YAML as text", suggestion),))
