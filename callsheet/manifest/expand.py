"""Expanding a campaign: shots x rows of a table x matrix.

Ids stay the same from run to run.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from callsheet.errors import Problem
from callsheet.manifest.columns import COLUMNS, MAX_SHOTS, Cell
from callsheet.manifest.draft import Draft, placeholders
from callsheet.manifest.problems import Findings
from callsheet.manifest.yaml_schema import CampaignForm, ShotForm

_SLUG_CHARS = 40


def expand(
    form: CampaignForm, rows: Sequence[Draft] | None, variables: Mapping[str, str], file: str, findings: Findings
) -> list[Draft]:
    """Return all drafts of a campaign.

    `rows` None means that there is no table; without `shots` each row is a shot. Values of a matrix win over cells of a
    row, these over `variables`. An id is the shot's own, then the row's id or position, then the slugs of the matrix
    values; a part that the id's own placeholders hold is not repeated.
    """
    templates = form.shots or ([ShotForm(form.lines.get("rows", 1))] if rows is not None else [])
    total = sum(
        _count_combinations({**form.matrix, **shot.matrix}) * (1 if rows is None else len(rows)) for shot in templates
    )
    if total > MAX_SHOTS:
        line = form.lines.get("matrix", form.lines.get("shots", form.lines.get("rows", 1)))
        findings.problem(
            Problem(file, line, "matrix", f"this expands to {total} shots", f"allowed: at most {MAX_SHOTS}")
        )
        return []
    campaign = _Campaign(form, rows, variables, file, is_single=len(templates) == 1)
    return [
        draft
        for position, shot in enumerate(templates, start=1)
        for draft in _expand_shot(campaign, shot, f"{position:04d}")
    ]


@dataclass(frozen=True, slots=True)
class _Campaign:
    """The parts of a campaign that all its shots are expanded with."""

    form: CampaignForm
    rows: Sequence[Draft] | None
    variables: Mapping[str, str]
    file: str
    is_single: bool


def _expand_shot(campaign: _Campaign, shot: ShotForm, label: str) -> list[Draft]:
    rows, variables = campaign.rows, campaign.variables
    axes = {**campaign.form.matrix, **shot.matrix}
    combinations = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    slugs = _make_unique_slugs([tuple(combination.values()) for combination in combinations])
    own_id = shot.cells.get("id")
    named = placeholders(own_id) if isinstance(own_id, str) else frozenset()
    drafts = []
    for row in rows if rows is not None else (None,):
        for combination, slug in zip(combinations, slugs, strict=True):
            parts = [] if "id" in shot.cells or (row is not None and campaign.is_single) else [label]
            if row is not None and not named & row.variables.keys() - variables.keys():
                parts.append(row.text("id") or row.label)
            if slug and not named & axes.keys():
                parts.append(slug)
            drafts.append(_merge(campaign, shot, row, combination=combination, suffix="-".join(parts)))
    return drafts


def _merge(
    campaign: _Campaign, shot: ShotForm, row: Draft | None, *, combination: Mapping[str, str], suffix: str
) -> Draft:
    below = {} if row is None else {column: cell for column, cell in row.cells.items() if column != "id"}
    axis_cells: dict[str, Cell] = {name: value for name, value in combination.items() if name in COLUMNS}
    cells: dict[str, Cell] = {**below, **shot.cells, **axis_cells}
    filled = {**campaign.variables, **({} if row is None else row.variables), **shot.variables, **combination}
    literal = frozenset(axis_cells) | ((row.literal if row is not None else frozenset()) - shot.cells.keys())
    places = {column: (campaign.file, line) for column, line in shot.lines.items()}
    origin, line = (campaign.file, shot.line) if row is None else (row.file, row.line)
    problems = [] if row is None else list(row.problems)
    return Draft(origin, line, cells, filled, suffix, literal, places, id_suffix=suffix, problems=problems)


def _make_unique_slugs(combinations: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a slug for each combination of values.

    Those that would be equal or empty get a short hash of the values.
    """
    slugs = ["-".join(slug(value) for value in values) for values in combinations]
    counts = Counter(slugs)
    return [
        f"{text.strip('-')}-{_shorten_hash(values)}".lstrip("-")
        if values and (counts[text] > 1 or _is_lossy(values))
        else text
        for text, values in zip(slugs, combinations, strict=True)
    ]


def slug(text: str) -> str:
    """Return the text's ASCII letters and digits in lower case, joined by dashes.

    At most 40 characters; may be empty.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_SLUG_CHARS].strip("-")


def _is_lossy(values: tuple[str, ...]) -> bool:
    return any(not slug(value) or len(value) > _SLUG_CHARS for value in values)


def _shorten_hash(values: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(values).encode()).hexdigest()[:6]


def _count_combinations(axes: Mapping[str, Sequence[str]]) -> int:
    return prod(len(values) for values in axes.values())
