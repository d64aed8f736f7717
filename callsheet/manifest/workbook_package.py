"""The parts of an .xlsx file, unpacked within bounds.

A small file can hold gigabytes of zeros, or one cell in the last row of the last column. What is handed on is a package
of our own making: only the parts that a sheet is read from, each as long as it says.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from callsheet.errors import ManifestError, Problem
from callsheet.manifest.problems import name_cell

MAX_UNPACKED_BYTES = 256 * 1024 * 1024
#: Cells of the smallest rectangle that holds all that is in a sheet: each takes memory, empty or not.
MAX_CELLS = 5_000_000
#: What a cell holds whose formula was never calculated.
NO_VALUE = "="

_OLE = b"\xd0\xcf\x11\xe0"
_PART = re.compile(r"(?:.*/)?(?!media/|drawings/|pivot|externalLinks/|customXml/)[^/]*\.(?:xml|rels)", re.IGNORECASE)
_SKIPPED = re.compile(r"(?:^|/)(?:media|drawings|pivot\w*|externalLinks|customXml|charts|theme)/", re.IGNORECASE)
_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_READABLE = "allowed: .xlsx, or the sheet as CSV (UTF-8)"

Cell = tuple[int, int]


@dataclass(frozen=True, slots=True)
class WorkbookParts:
    """A workbook that was unpacked.

    `package` is what is to be read; `sheets` are the XML parts of its worksheets by name.
    """

    package: bytes
    sheets: Mapping[str, bytes]


@dataclass(slots=True)
class SheetScan:
    """Hold what a worksheet tells of its cells besides their values.

    Rows and columns count from 1. `odd` are errors, and formulas without a value, which a reader of values gives as
    blank. `hidden` are rows.
    """

    rows: int = 0
    columns: int = 0
    odd: dict[Cell, str] = field(default_factory=dict)
    hidden: list[int] = field(default_factory=list)


def unpack_workbook(data: bytes, file: str) -> WorkbookParts:
    """Unpack the parts that sheets are read from.

    Raises ManifestError for what is no .xlsx file, is protected by a password, or unpacks to too much.
    """
    if data.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in data:
            refuse(file, "the workbook is protected by a password", suggestion="save it without one")
        refuse(file, "this is a workbook of before 2007 (.xls)", suggestion="save it as .xlsx")
    if not data.startswith(b"PK"):
        refuse(file, "this is no workbook", suggestion="if it is text, name it .csv, .tsv or .yaml")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = _read_parts(archive, file)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        refuse(file, f"the workbook is damaged: {error or type(error).__name__}")
    try:
        sheets = dict(_find_sheets(parts))
    except (expat.ExpatError, LookupError, ValueError):
        refuse(file, "this is no workbook that can be read", suggestion="open it and save it again as .xlsx")
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as clean:
        for name, part in parts.items():
            clean.writestr(zipfile.ZipInfo(name), part)
    return WorkbookParts(package.getvalue(), sheets)


def refuse(file: str, what: str, allowed: str = _READABLE, suggestion: str = "") -> NoReturn:
    """Raise ManifestError with one problem of a whole file."""
    raise ManifestError((Problem(file, 1, "-", what[:300], allowed, suggestion),))


def _read_parts(archive: zipfile.ZipFile, file: str) -> dict[str, bytes]:
    names = set(archive.namelist())
    if "mimetype" in names:
        refuse(file, "this is a workbook of LibreOffice (.ods)", suggestion="save it as .xlsx")
    if "xl/workbook.bin" in names or any(name.startswith("Index/") for name in names):
        kind = "binary workbook (.xlsb)" if "xl/workbook.bin" in names else "workbook of Numbers"
        refuse(file, f"this is a {kind}", suggestion="save it as .xlsx")
    parts: dict[str, bytes] = {}
    room = MAX_UNPACKED_BYTES
    for info in archive.infolist():
        if not _PART.fullmatch(info.filename) or _SKIPPED.search(info.filename):
            continue
        too_much = f"allowed: {MAX_UNPACKED_BYTES // 2**20} MB of sheets"
        if info.file_size > room:
            refuse(file, "the workbook unpacks to too much", too_much, "split it")
        with archive.open(info) as part:
            parts[info.filename] = part.read(room + 1)
        room -= len(parts[info.filename])
        if room < 0:
            refuse(file, "the workbook unpacks to too much", too_much, "split it")
    return parts


def _find_sheets(parts: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the part of each worksheet that the package has."""
    book = dict(_targets(parts, "_rels/.rels").values())["officeDocument"]
    folder, _, name = book.rpartition("/")
    targets = _targets(parts, f"{folder}/_rels/{name}.rels", folder)
    for element, attributes in _elements(parts[book]):
        if element == "sheet":
            part = next((value for key, value in attributes.items() if key.endswith(":id")), "")
            kind, path = targets.get(part, ("", ""))
            if kind == "worksheet" and path in parts:
                yield attributes["name"], parts[path]


def _targets(parts: Mapping[str, bytes], name: str, folder: str = "") -> dict[str, tuple[str, str]]:
    """Return kind and path of what a part refers to, by id."""
    found = [attributes for element, attributes in _elements(parts[name]) if element == "Relationship"]
    return {
        one["Id"]: (
            one["Type"].rpartition("/")[2],
            one["Target"].lstrip("/") if one["Target"].startswith("/") else posixpath.join(folder, one["Target"]),
        )
        for one in found
    }


def _elements(xml: bytes) -> list[tuple[str, dict[str, str]]]:
    found: list[tuple[str, dict[str, str]]] = []
    parser = _new_parser()
    parser.StartElementHandler = lambda name, attributes: found.append((_local(name), attributes))
    parser.Parse(xml, True)
    return found


def _new_parser() -> expat.XMLParserType:
    parser = expat.ParserCreate()

    def refuse_entities(*_of_document: object) -> None:
        raise ValueError("a workbook has no document type")

    parser.StartDoctypeDeclHandler = refuse_entities
    return parser


def _local(name: str) -> str:
    return name.rpartition(":")[2]


class _Cells:
    """Listens to the XML of one worksheet."""

    def __init__(self, parser: expat.XMLParserType) -> None:
        self.scan = SheetScan()
        self._parser, self._row, self._column = parser, 0, 0
        self._kind, self._is_formula, self._is_filled, self._value = "", False, False, ""
        self._is_hidden = False
        parser.StartElementHandler, parser.EndElementHandler = self._begin, self._end

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        match _local(name):
            case "row":
                self._row, self._column = max(1, int(attributes.get("r") or self._row + 1)), 0
                self._is_hidden = attributes.get("hidden") in ("1", "true")
            case "c":
                found = _REFERENCE.fullmatch(attributes.get("r", ""))
                self._column = _number(found[1]) if found else self._column + 1
                self._row = int(found[2]) if found else self._row
                self._kind, self._value = attributes.get("t", ""), ""
                self._is_formula = self._is_filled = False
            case "f":
                self._is_formula = self._is_filled = True
            case "v" | "is":
                self._is_filled = True
                if self._is_formula or self._kind == "e":
                    self._parser.CharacterDataHandler = self._add

    def _add(self, text: str) -> None:
        self._value += text

    def _end(self, name: str) -> None:
        local = _local(name)
        if local in ("v", "is"):
            self._parser.CharacterDataHandler = None
        if local != "c" or not self._is_filled:
            return
        scan, place = self.scan, (self._row, self._column)
        scan.rows, scan.columns = max(scan.rows, self._row), max(scan.columns, self._column)
        if self._is_hidden and scan.hidden[-1:] != [self._row]:
            scan.hidden.append(self._row)
        if self._kind == "e":
            scan.odd[place] = self._value or "#N/A"
        elif self._is_formula and not self._value and self._kind != "str":
            scan.odd[place] = NO_VALUE


def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def scan_sheet(xml: bytes, file: str, sheet: str) -> SheetScan:
    """Read how far a worksheet reaches, and which cells have no proper value.

    Raises ManifestError for one that reaches too far, or cannot be read.
    """
    parser = _new_parser()
    cells = _Cells(parser)
    try:
        parser.Parse(xml, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        refuse(file, f"sheet {sheet!r} is damaged: {error}", suggestion="open it and save it again as .xlsx")
    scan = cells.scan
    if scan.rows * scan.columns > MAX_CELLS:
        what = f"sheet {sheet!r} reaches to cell {name_cell(scan.rows, scan.columns)}"
        refuse(file, what, f"allowed: {MAX_CELLS:,} cells", "delete what is far from the table")
    return scan
