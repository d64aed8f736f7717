"""The YAML form of a manifest: from nodes to a typed campaign.

Everything that does not fit is a problem.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from callsheet.errors import Problem
from callsheet.manifest.columns import COLUMNS, MAX_CELL_CHARS, Cell
from callsheet.manifest.draft import is_known_column
from callsheet.manifest.problems import Findings, did_you_mean, quote_value
from callsheet.manifest.yaml_reader import ListNode, MapNode, Node, ScalarNode

TOP_KEYS = ("campaign", "budget_usd", "defaults", "vars", "matrix", "rows", "columns", "shots")
# `id` must differ and so cannot be a default or an axis.
NOT_DEFAULTS = frozenset({"id"})
# Lists of names with values, which may be written as a mapping.
MAPPINGS = frozenset({"safety"})
_LISTS = frozenset(name for name, column in COLUMNS.items() if column.kind in ("list", "texts")) | {"select"}


@dataclass(slots=True)
class ShotForm:
    """One entry of `shots:` before expansion."""

    line: int
    cells: dict[str, Cell] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    matrix: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class CampaignForm:
    """The whole file; `lines` holds the line of each top-level key."""

    lines: dict[str, int]
    campaign: str | None = None
    budget_usd: str | None = None
    defaults: dict[str, Cell] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    matrix: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rows: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    shots: list[ShotForm] = field(default_factory=list)


def read_form(root: Node, file: str, findings: Findings) -> CampaignForm | None:
    """Return the campaign in a document.

    None, with a problem, when the document is not a mapping.
    """
    if not isinstance(root, MapNode):
        findings.problem(
            Problem(file, root.line, "-", "a manifest is a mapping", f"allowed keys: {', '.join(TOP_KEYS)}")
        )
        return None
    reader = _FormReader(file, findings)
    form = CampaignForm(root.key_lines)
    for key, node in root.items.items():
        reader.top(form, key, root.key_lines[key], node)
    if not form.shots and form.rows is None and "shots" not in root.items:
        findings.problem(
            Problem(file, root.line, "shots", "there is neither `shots:` nor `rows:`", "needed: one of them")
        )
    return form


class _FormReader:
    def __init__(self, file: str, findings: Findings) -> None:
        self._file = file
        self._findings = findings

    def top(self, form: CampaignForm, key: str, line: int, node: Node) -> None:
        if key == "campaign":
            form.campaign = self._read_text(node, key)
        elif key == "budget_usd":
            form.budget_usd = self._read_text(node, key)
        elif key == "rows":
            form.rows = self._read_text(node, key)
        elif key == "vars":
            form.variables = self._read_texts(node, key)
        elif key == "columns":
            form.columns = self._read_texts(node, key)
        elif key == "matrix":
            form.matrix = self._read_matrix(node)
        elif key == "defaults":
            form.defaults = self._read_defaults(node)
        elif key == "shots":
            form.shots = self._read_shots(node)
        else:
            what = f"unknown key {quote_value(key)}"
            self._note_problem(
                line, key[:60], what, allowed=f"allowed: {', '.join(TOP_KEYS)}", suggestion=did_you_mean(key, TOP_KEYS)
            )

    def _read_shots(self, node: Node) -> list[ShotForm]:
        if not isinstance(node, ListNode) or not node.items:
            self._note_problem(
                node.line, "shots", "this is not a list of shots", allowed="needed: one entry `- prompt: ...` or more"
            )
            return []
        return [self._read_shot(each) for each in node.items]

    def _read_shot(self, node: Node) -> ShotForm:
        shot = ShotForm(node.line)
        if not isinstance(node, MapNode):
            self._note_problem(node.line, "shots", "this is not a shot", allowed="needed: a mapping with `prompt:`")
            return shot
        for key, value in node.items.items():
            shot.lines[key] = node.key_lines[key]
            if key == "matrix":
                shot.matrix = self._read_matrix(value)
            elif key in COLUMNS:
                cell = self._read_cell(value, key)
                if cell:
                    shot.cells[key] = cell
            else:
                shot.variables[key] = self._read_text(value, key) or ""
        return shot

    def _read_defaults(self, node: Node) -> dict[str, Cell]:
        cells: dict[str, Cell] = {}
        for key, value, line in self._read_pairs(node, "defaults"):
            if is_known_column(key, (self._file, line), self._findings, where="defaults", barred=NOT_DEFAULTS):
                cell = self._read_cell(value, key)
                if cell:
                    cells[key] = cell
        return cells

    def _read_matrix(self, node: Node) -> dict[str, tuple[str, ...]]:
        axes: dict[str, tuple[str, ...]] = {}
        for key, value, line in self._read_pairs(node, "matrix"):
            items = value.items if isinstance(value, ListNode) else []
            texts = tuple(self._read_text(each, key) or "" for each in items)
            if not texts or "" in texts:
                self._note_problem(
                    line, "matrix", f"{quote_value(key)} has no list of values", allowed="needed: a list such as [a, b]"
                )
            elif len(set(texts)) < len(texts):
                self._note_problem(
                    line, "matrix", f"{quote_value(key)} lists a value twice", allowed="allowed: each value once"
                )
            elif key in NOT_DEFAULTS:
                self._note_problem(
                    line,
                    "matrix",
                    f"{quote_value(key)} cannot be an axis",
                    allowed="",
                    suggestion="ids are made from the values",
                )
            else:
                axes[key] = texts
        return axes

    def _read_cell(self, node: Node, column: str) -> Cell | None:
        if isinstance(node, ListNode) and column in _LISTS:
            return tuple(text for each in node.items for text in self._read_items(each, column))
        if isinstance(node, MapNode) and column in MAPPINGS:
            return tuple(self._read_items(node, column))
        return self._read_text(node, column)

    def _read_items(self, node: Node, column: str) -> list[str]:
        """Return an item of a list, or the pairs of a mapping as `name=value`."""
        if isinstance(node, MapNode) and column in MAPPINGS:
            pairs = ((key, self._read_text(each, column)) for key, each in node.items.items())
            return [f"{key}={text}" for key, text in pairs if text]
        text = self._read_text(node, column)
        return [text] if text else []

    def _read_texts(self, node: Node, where: str) -> dict[str, str]:
        return {key: self._read_text(value, where) or "" for key, value, _ in self._read_pairs(node, where)}

    def _read_text(self, node: Node, column: str) -> str | None:
        if not isinstance(node, ScalarNode):
            self._note_problem(node.line, column[:60], "this is a list or mapping", allowed="allowed: text or a number")
            return None
        text = (node.text or "").strip()
        if len(text) > MAX_CELL_CHARS:
            what = f"the value has {len(text)} characters"
            self._note_problem(node.line, column[:60], what, allowed=f"allowed: at most {MAX_CELL_CHARS}")
            return None
        if "\0" in text:
            self._note_problem(node.line, column[:60], "there is a NUL character", allowed="allowed: text only")
            return None
        return text or None

    def _read_pairs(self, node: Node, where: str) -> list[tuple[str, Node, int]]:
        if isinstance(node, MapNode):
            return [(key, value, node.key_lines[key]) for key, value in node.items.items()]
        if not (isinstance(node, ScalarNode) and node.text is None):
            self._note_problem(node.line, where, "this is not a mapping", allowed="needed: `name: value` lines")
        return []

    def _note_problem(self, line: int, column: str, what: str, *, allowed: str = "", suggestion: str = "") -> None:
        self._findings.problem(Problem(self._file, line, column, what, allowed, suggestion))
