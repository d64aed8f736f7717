"""Collecting the problems of a manifest, so that one pass reports every row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from callsheet.errors import ManifestError, Problem
from callsheet.manifest.columns import MAX_PROBLEMS
from callsheet.suggestions import did_you_mean

__all__ = ["Findings", "TableCells", "Unsendable", "did_you_mean", "name_cell", "quote_value"]


@dataclass(frozen=True, slots=True)
class Unsendable:
    """A reason why a request of a shot may not be sent.

    It is no reason against what was made of the shot already. One `of_sheet` concerns all shots alike.
    """

    shot: str
    kind: Literal["image", "video"]
    problem: Problem
    of_sheet: bool = False


def name_cell(row: int, column: int) -> str:
    """Return the reference of a cell, such as B7; rows and columns count from 1."""
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return f"{letters}{row}"


@dataclass(frozen=True, slots=True)
class TableCells:
    """A workbook's sheet: its name, and its columns by number."""

    sheet: str
    columns: Mapping[str, int]

    def name_place(self, problem: Problem) -> str:
        """Return the cell of a problem, such as Sheet1!B7, or its row."""
        sheet = self.sheet if re.fullmatch(r"\w+", self.sheet) else "'" + self.sheet.replace("'", "''") + "'"
        number = self.columns.get(problem.column)
        cell = problem.cell or (name_cell(problem.line, number) if number else f"{problem.line}:{problem.line}")
        return f"{sheet}!{cell}"


@dataclass(slots=True)
class Findings:
    """Problems and warnings about one manifest, in the order found.

    `near_misses` are of headers that look like a column: warnings, and reasons not to pay. `unused`
    are all headers that nothing uses. `tables` are those that have cells, by file.
    """

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    unsendable: list[Unsendable] = field(default_factory=list)
    near_misses: list[Problem] = field(default_factory=list)
    unused: list[Problem] = field(default_factory=list)
    tables: dict[str, TableCells] = field(default_factory=dict)
    _seen: set[tuple[str, int, str, str]] = field(default_factory=set)

    def problem(self, problem: Problem) -> None:
        """Note a problem; the same words about the same place are noted once."""
        key = (problem.file, problem.line, problem.column, problem.what)
        if key not in self._seen:
            self._seen.add(key)
            self.problems.append(problem)

    def warn(self, warning: Problem) -> None:
        """Note something that does not stop the batch."""
        self.warnings.append(warning)

    def name_cells(self) -> None:
        """Name the cells of all that was noted about a workbook, in place."""
        for noted in (self.problems, self.warnings, self.near_misses, self.unused) if self.tables else ():
            noted[:] = map(self.name_cell, noted)
        self.unsendable[:] = [replace(one, problem=self.name_cell(one.problem)) for one in self.unsendable]

    def name_cell(self, problem: Problem) -> Problem:
        """Return the problem with the name of its cell, where it is about a workbook."""
        table = self.tables.get(problem.file)
        return replace(problem, cell=table.name_place(problem)) if table else problem

    def raise_if_any(self) -> None:
        """Raise ManifestError with all problems sorted by line.

        Beyond the first 1,000 only their number.
        """
        if self.problems:
            raise ManifestError(cap_problems(self.problems))


def cap_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems by line; beyond the first 1,000 only their number."""
    ordered = sorted(problems, key=lambda problem: (problem.file, problem.line))
    if len(ordered) <= MAX_PROBLEMS:
        return tuple(ordered)
    last = ordered[-1]
    more = Problem(last.file, last.line, "-", f"and {len(ordered) - MAX_PROBLEMS} more problems")
    return (*ordered[:MAX_PROBLEMS], more)


def quote_value(value: str, limit: int = 60) -> str:
    """Return a value quoted for a message: shortened, control characters escaped."""
    return repr(value if len(value) <= limit else value[: limit - 3] + "...")
