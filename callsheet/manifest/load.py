"""Loading a manifest's shots as drafts.

From a table by itself, or a YAML file with or without a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from callsheet.errors import ManifestError, Problem
from callsheet.manifest.columns import Cell
from callsheet.manifest.csv_reader import check_prompt_column, drafts_of, read_sheet, warn_of_lookalikes
from callsheet.manifest.draft import Draft
from callsheet.manifest.expand import expand
from callsheet.manifest.inputs import InputFiles, Refused
from callsheet.manifest.problems import Findings
from callsheet.manifest.templates import placeholders, render
from callsheet.manifest.yaml_reader import read_document
from callsheet.manifest.yaml_schema import CampaignForm, read_form
from callsheet.sources import decode, read_bytes


@dataclass(frozen=True, slots=True)
class RawManifest:
    """A manifest as text, with what its user gives besides and a place for problems.

    `columns` maps a column of ours to a header of the table; `variables` are the user's.
    """

    uri: str
    text: str
    columns: Mapping[str, str]
    variables: Mapping[str, str]
    findings: Findings


@dataclass(slots=True)
class Loaded:
    """The contents of a file before it is checked.

    `table` has the bytes of the table it refers to. `prompted` is False when it has been noted that there is no column
    to take prompts from.
    """

    drafts: list[Draft]
    defaults: dict[str, Cell] = field(default_factory=dict)
    campaign: str | None = None
    budget_usd: str | None = None
    lines: dict[str, int] = field(default_factory=dict)
    table: bytes | None = None
    table_variable: str | None = None
    prompted: bool = True


def load_table(raw: RawManifest, *, tabs: bool, defaulted: bool) -> Loaded:
    """Load the shots of a CSV or TSV file, one per row.

    `defaulted`: prompts have a default from outside.
    """
    uri, columns, findings = raw.uri, raw.columns, raw.findings
    sheet = read_sheet(raw.text, uri, tabs=tabs, findings=findings)
    drafts = drafts_of(sheet, uri, columns, raw.variables, findings)
    of_text = "takes" in sheet.headers and "motion_prompt" in sheet.headers
    prompted = check_prompt_column(sheet, uri, columns, of_text or defaulted, findings)
    warn_of_lookalikes(sheet, uri, columns, _collect_placeholders(draft.cells for draft in drafts), findings)
    return Loaded(drafts, prompted=prompted)


def load_yaml(raw: RawManifest) -> Loaded:
    """Load the shots of a YAML file, expanded over its matrix and its table's rows."""
    uri, findings = raw.uri, raw.findings
    root = read_document(raw.text, uri, findings)
    form = read_form(root, uri, findings) if root is not None else None
    if form is None:
        return Loaded([])
    form.columns.update(raw.columns)
    filled = {**form.variables, **raw.variables}
    loaded = Loaded([], form.defaults, form.campaign, form.budget_usd, form.lines)
    rows = None
    if form.rows is not None:
        rows = _load_rows(raw, form, filled, loaded=loaded)
    elif form.columns:
        findings.problem(
            Problem(uri, form.lines.get("columns", 1), "columns", "there is no table to map", "needed: `rows:`")
        )
    # Where the table lies is no property of a shot.
    filled.pop(loaded.table_variable or "", None)
    loaded.drafts = expand(form, rows, filled, uri, findings)
    return loaded


def _load_rows(raw: RawManifest, form: CampaignForm, filled: Mapping[str, str], *, loaded: Loaded) -> list[Draft]:
    """Return the rows of the table that `rows:` names, as drafts."""
    findings = raw.findings
    place = _locate_table(raw, form, filled, loaded=loaded)
    if place is None:
        return []
    try:
        loaded.table = read_bytes(place)
        text = decode(loaded.table, place)
    except ManifestError as error:
        findings.problems.extend(error.problems)
        return []
    tabs = PurePosixPath(place).suffix.lower() in (".tsv", ".tab")
    sheet = read_sheet(text, place, tabs=tabs, findings=findings)
    drafts = drafts_of(sheet, place, form.columns, {}, findings)
    elsewhere = "prompt" in form.defaults or bool(form.shots)
    loaded.prompted = check_prompt_column(sheet, place, form.columns, elsewhere, findings)
    used = _collect_placeholders(
        [*(draft.cells for draft in drafts), *(shot.cells for shot in form.shots), form.defaults]
    )
    warn_of_lookalikes(sheet, place, form.columns, used, findings)
    return drafts


def _locate_table(raw: RawManifest, form: CampaignForm, filled: Mapping[str, str], *, loaded: Loaded) -> str | None:
    """Return where the table is.

    A path that the user gives as a variable is trusted; one in the file is confined.
    """
    uri, findings = raw.uri, raw.findings
    written, line = form.rows or "", form.lines.get("rows", 1)
    names = placeholders(written)
    if missing := sorted(names - filled.keys()):
        what = f"the table is not named: {{{missing[0]}}} has no value"
        findings.problem(Problem(uri, line, "rows", what, "", f"give it: --var {missing[0]}=PATH"))
        return None
    text = render(written, filled).text
    if len(names) == 1 and names <= raw.variables.keys() and written == f"{{{next(iter(names))}}}":
        loaded.table_variable = next(iter(names))
        return text
    place = InputFiles(uri, ()).locate(text)
    if isinstance(place, Refused):
        findings.problem(
            Problem(uri, line, "rows", place.what, place.allowed, "name it beside the manifest, or give it by --var")
        )
        return None
    return place


def _collect_placeholders(cells: Iterable[Mapping[str, Cell]]) -> frozenset[str]:
    """Return all placeholders that occur in some cells."""
    texts = {text for each in cells for cell in each.values() for text in ((cell,) if isinstance(cell, str) else cell)}
    return frozenset(name for text in texts if "{" in text for name in placeholders(text))
