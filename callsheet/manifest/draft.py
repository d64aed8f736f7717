"""A shot on its way from text to value.

Its cells, its variables, and where each was written; and the filling of `{placeholders}` in its texts, which is plain
replacement: nothing is ever evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Literal

from callsheet.errors import Problem
from callsheet.manifest.columns import COLUMNS, MAX_CELL_CHARS, MAX_PROBLEMS, Cell
from callsheet.manifest.problems import Findings, Unsendable, did_you_mean, quote_value
from callsheet.models import Refusal

_VIDEO_COLUMNS = tuple(name for name, column in COLUMNS.items() if column.video)
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(slots=True)
class Draft:
    """One shot before checks.

    Blank cells are absent; `literal` columns hold no placeholders. `label` is the shot's position, used as its id when
    it has none; `id_suffix` tells the shots of a matrix apart. `begins_clip`: its picture is edited, and then animated.
    `problems` are those of its row alone; the shots that a row's edits become share them.
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
    begins_clip: bool = False
    problems: list[Problem] = field(default_factory=list)

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
        found = Problem(*self.place_of(column), column, what, allowed, suggestion)
        self.problems.append(found)
        findings.problem(found)

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


def warn_of_idle_columns(draft: Draft, findings: Findings, *, is_parent: bool = False) -> None:
    """Warn of video settings that have no effect because the shot stays a picture.

    Only of the shot's own settings. What a parent selects counts for what is made of it.
    """
    if "motion_prompt" in draft.cells:
        return
    idle = [column for column in _VIDEO_COLUMNS if column in draft.own and not (is_parent and column == "select")]
    if idle:
        what = "no effect: the shot has no motion prompt and stays a picture"
        findings.warn(Problem(*draft.place_of(idle[0]), ", ".join(idle), what, "", "add motion_prompt"))


@dataclass(frozen=True, slots=True)
class Rendered:
    """The filled text, and what is wrong with it.

    The placeholders that have no value, whether a single brace stands alone, or it is too long.
    """

    text: str
    unknown: tuple[str, ...] = ()
    stray: bool = False
    overlong: bool = False


def render(text: str, variables: Mapping[str, str], limit: int = MAX_CELL_CHARS) -> Rendered:
    """Replace every `{name}` by its value; `{{` and `}}` are braces.

    Values are not filled again. A name is looked up as it is written (outer blanks apart), so `{a.b}`, `{a[0]}` or
    `{a!r}` are only unknown names.
    """
    if "{" not in text and "}" not in text:
        return Rendered(text)
    unknown: list[str] = []
    stray, room = False, limit

    def fill(token: re.Match[str]) -> str:
        nonlocal stray, room
        name = token.group(1)
        if name is None:
            stray = stray or len(token.group()) == 1
            return token.group()[0]
        value = variables.get(name.strip())
        if value is None:
            unknown.append(name.strip())
            return token.group()
        # Counted while filling, so that many large values never become one huge text.
        room -= len(value)
        return value if room >= 0 else ""

    return Rendered(_TOKEN.sub(fill, text), tuple(unknown), stray, room < 0)


def placeholders(text: str) -> frozenset[str]:
    """Return the names of all placeholders in the text."""
    return frozenset(token.group(1).strip() for token in _TOKEN.finditer(text) if token.group(1) is not None)


def escape(text: str) -> str:
    """Return the text with braces doubled, so that `render` gives it back unchanged."""
    return text.replace("{", "{{").replace("}", "}}")
