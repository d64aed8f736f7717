"""Rows that are wrong in themselves, left out so that the rest can be made.

What is made of a shot that is left out is left out, too. Ids were given before, so those of the others, and their keys,
are what they would be if no row were wrong.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from callsheet.errors import Problem
from callsheet.manifest.chains import name_parents
from callsheet.manifest.columns import ID_PATTERN
from callsheet.manifest.draft import Draft
from callsheet.manifest.picture_cells import COLUMN as REFERENCES
from callsheet.manifest.picture_cells import reference_items
from callsheet.manifest.problems import Findings, cap_problems, quote_value

OnBadRow = Literal["stop", "skip"]
#: What a row that is wrong does to a batch: it stops all of it, or is left out.
ON_BAD_ROW: tuple[OnBadRow, ...] = ("stop", "skip")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A shot that is left out, and why.

    `problems` are those of its row, or the one that it is made of a shot that is left out. One whose id is none is
    called by its line.
    """

    shot: str
    line: int
    problems: tuple[Problem, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as plans and summaries have it."""
        return {"shot": self.shot, "line": self.line, "problems": [str(problem) for problem in self.problems]}


def list_problems(left_out: Iterable[LeftOut]) -> tuple[Problem, ...]:
    """Return all problems, each once, by line; see `cap_problems`."""
    return cap_problems(dict.fromkeys(problem for each in left_out for problem in each.problems))


def describe_left_out(left_out: Sequence[LeftOut]) -> list[str]:
    """Return all problems, a line each, and how many shots are left out for them."""
    if not left_out:
        return []
    many = f"{len(left_out)} shots are" if len(left_out) > 1 else "1 shot is"
    return [*map(str, list_problems(left_out)), f"{many} left out until this is mended; the rest is made."]


def concern_rows(problems: Iterable[Problem], drafts: Iterable[Draft]) -> bool:
    """Return whether all problems are those of single rows."""
    return {problem for draft in drafts for problem in draft.problems}.issuperset(problems)


def find_left_out(drafts: Sequence[Draft], findings: Findings) -> dict[int, LeftOut]:
    """Return the drafts to be left out, by their places, so that the others are legal.

    None when a problem concerns more than single rows: it stops all of them.
    """
    named = {index: tuple(map(findings.name_cell, draft.problems)) for index, draft in enumerate(drafts)}
    if not {problem for problems in named.values() for problem in problems}.issuperset(findings.problems):
        return {}
    found = {
        index: LeftOut(_name(drafts[index]), drafts[index].line, tuple(dict.fromkeys(problems)))
        for index, problems in named.items()
        if problems
    }
    children, waiting = _list_children(drafts) if found else {}, deque(found)
    while waiting:
        parent = waiting.popleft()
        for child, column in children.get(drafts[parent].text("id") or "", ()):
            if child not in found:
                draft = drafts[child]
                what = f"it is made of {quote_value(_name(drafts[parent]))}, which is left out"
                problem = findings.name_cell(Problem(*draft.place_of(column), column, what))
                found[child] = LeftOut(_name(draft), draft.line, (problem,))
                waiting.append(child)
    return dict(sorted(found.items()))


def _name(draft: Draft) -> str:
    shot = draft.text("id") or ""
    return shot if re.fullmatch(ID_PATTERN, shot) else f"line {draft.line}"


def _list_children(drafts: Sequence[Draft]) -> Mapping[str, list[tuple[int, str]]]:
    """Return the places of what is made of each shot, and the column that says so."""
    children: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for index, draft in enumerate(drafts):
        for name in name_parents(draft.text("edit_of") or ""):
            children[name].append((index, "edit_of"))
        for item in reference_items(draft):
            for name in name_parents(item.text) if item.names_take else ():
                children[name].append((index, REFERENCES))
    return children
