"""A shot on its way from text to value.

Its cells, its variables, and where each was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Literal

from callsheet.errors import Problem
from callsheet.manifest.columns import COLUMNS, MAX_CELL_CHARS, MAX_PROBLEMS, Cell
from callsheet.manifest.problems import Findings, Unsendable, did_you_mean, quote_value
from callsheet.manifest.templates import render
from callsheet.models import Refusal


@dataclass(slots=True)
class Draft:
    """One shot before checks.

    Blank cells are absent; `literal` columns hold no placeholders. `label` is the shot's position, used as its id when
    it has none; `id_suffix` tells the shots of a matrix apart.
    """

    file: str
    line: int
    cells: dict[str, Cell]
    variables: Mapping[str, str]
    label: str
    literal: frozenset[str] = frozenset()
    places: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    id_suffix: str = ""

    def place_of(self, column: str) -> tuple[str, int]:
        """Return file and line of one value.

        Those of the shot when the value's are not known.
        """
        return self.places.get(column, (self.file, self.line))

    def text(self, column: str) -> str | None:
        """Return the value of a column as text, None when absent."""
        cell = self.cells.get(column)
        return ";".join(cell) if isinstance(cell, tuple) else cell

    def problem(self, findings: Findings, column: str, what: str, allowed: str = "", suggestion: str = "") -> None:
        """Note a problem about a value of this shot."""
        findings.problem(Problem(*self.place_of(column), column, what, allowed, suggestion))

    def unsendable(self, findings: Findings, kind: Literal["image", "video"], finding: Refusal) -> None:
        """Note what keeps this shot's requests of a kind from being sent."""
        problem = Problem(*self.place_of(finding.column), *finding)
        findings.unsendable.append(Unsendable(self.text("id") or "", kind, problem))


def size(draft: Draft) -> int:
    """Return the number of characters in all cells."""
    return sum(len(each) for cell in draft.cells.values() for each in ((cell,) if isinstance(cell, str) else cell))


def complete(draft: Draft, defaults: Mapping[str, Cell], findings: Findings) -> None:
    """Apply the defaults, fill every placeholder and settle the id, in place."""
    draft.own = frozenset(draft.cells)
    for column, cell in defaults.items():
        draft.cells.setdefault(column, cell)
    for column, cell in draft.cells.items():
        # A default is a template even where the row's own cells are literal.
        if column in draft.literal and column in draft.own:
            continue
        if isinstance(cell, str):
            if "{" in cell or "}" in cell:
                draft.cells[column] = _fill(draft, column, cell, findings=findings)
        else:
            draft.cells[column] = tuple(_fill(draft, column, each, findings=findings) for each in cell)
    base = draft.text("id")
    draft.cells["id"] = (
        f"{base}-{draft.id_suffix}" if base and draft.id_suffix else base or draft.id_suffix or draft.label
    )


def _fill(draft: Draft, column: str, text: str, *, findings: Findings) -> str:
    rendered = render(text, draft.variables)
    for name in rendered.unknown:
        # Of more problems only the number is told, and each hint looks at every variable.
        is_told = len(findings.problems) < MAX_PROBLEMS
        known = ", ".join(nsmallest(20, draft.variables)) if is_told else ""
        hint = did_you_mean(name, draft.variables) if is_told else ""
        allowed = f"known: {known or 'none in this file'}"
        hint = hint or "write {{ and }} for braces"
        draft.problem(findings, column, f"unknown placeholder {{{quote_value(name)[1:-1]}}}", allowed, hint)
    if rendered.overlong:
        draft.problem(findings, column, "the filled text is too long", f"allowed: at most {MAX_CELL_CHARS} characters")
    if rendered.stray:
        draft.problem(findings, column, "a single brace stands alone", "", "write {{ and }} for braces")
    return rendered.text.strip()


def is_known_column(
    name: str, place: tuple[str, int], findings: Findings, *, where: str, barred: frozenset[str] = frozenset()
) -> bool:
    """Return whether `name` is a column that may stand here.

    If not, that is noted as a problem at `place`, a file and a line.
    """
    if name in COLUMNS and name not in barred:
        return True
    what = f"{quote_value(name)} is no column that {where} may set"
    allowed = [column for column in COLUMNS if column not in barred]
    findings.problem(Problem(*place, where, what, f"allowed: {', '.join(allowed)}", did_you_mean(name, allowed)))
    return False
