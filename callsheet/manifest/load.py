"""Loading a manifest's shots as drafts.

From a table by itself, or a YAML file with or without a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from callsheet.errors import ManifestError, Problem
from callsheet.manifest.columns import LATER, Cell
from callsheet.manifest.csv_reader import (
    Sheet,
    check_prompt_column,
    drafts_of,
    fold_sheet,
    leave_out_dragged,
    note_lookalikes,
    read_sheet,
    shape_sheet,
)
from callsheet.manifest.draft import Draft, placeholders, render
from callsheet.manifest.expand import expand
from callsheet.manifest.inputs import InputFiles, Refused
from callsheet.manifest.problems import Findings
from callsheet.manifest.table_shape import decode_sheet
from callsheet.manifest.workbook import name_places, note_traps, read_workbook
from callsheet.manifest.yaml_reader import read_document
from callsheet.manifest.yaml_schema import CampaignForm, read_form
from callsheet.sources import read_bytes, split_sheet

# The first two are read; of the others is told how to save them.
_WORKBOOKS = frozenset({".xlsx", ".xlsm", ".xls", ".xlsb", ".ods", ".numbers"})


@dataclass(frozen=True, slots=True)
class RawManifest:
    """A manifest as text, with what its user gives besides and a place for problems.

    `columns` maps a column of ours to a header of the table; `variables` are the user's. A workbook is no text: it has
    `data`, and the name of the `sheet` that is wanted.
    """

    uri: str
    text: str
    columns: Mapping[str, str]
    variables: Mapping[str, str]
    findings: Findings
    data: bytes = b""
    sheet: str = ""


@dataclass(slots=True)
class Loaded:
    """The contents of a file before it is checked.

    `table` has the bytes of the table it refers to. `prompted` is False when it has been noted that there is no column
    to take prompts from. `is_copy`: it is a sheet that was written back.
    """

    drafts: list[Draft]
    defaults: dict[str, Cell] = field(default_factory=dict)
    campaign: str | None = None
    budget_usd: str | None = None
    lines: dict[str, int] = field(default_factory=dict)
    table: bytes | None = None
    table_variable: str | None = None
    prompted: bool = True
    is_copy: bool = False


def is_workbook(file: str) -> bool:
    """Return whether a file is a workbook by its name, of whatever kind."""
    return PurePosixPath(file.partition("?")[0]).suffix.lower() in _WORKBOOKS


def load_table(raw: RawManifest, *, tabs: bool, defaulted: bool) -> Loaded:
    """Load the shots of a CSV or TSV file or of a workbook's sheet, one per row.

    `defaulted`: prompts have a default from outside.
    """
    uri, columns, findings = raw.uri, raw.columns, raw.findings
    if is_workbook(uri):
        sheet = _read_workbook_sheet(raw, columns)
    else:
        sheet = read_sheet(raw.text, uri, tabs=tabs, findings=findings)
    sheet = fold_sheet(sheet, uri, columns, defaulted or "prompt" in columns or _is_of_text(sheet), findings)
    drafts = drafts_of(sheet, uri, columns, raw.variables, findings)
    prompted = check_prompt_column(sheet, uri, columns, _is_of_text(sheet) or defaulted, findings)
    if prompted and not defaulted:
        drafts = leave_out_dragged(drafts, findings)
    note_lookalikes(sheet, uri, columns, _collect_placeholders(draft.cells for draft in drafts), findings)
    return Loaded(drafts, prompted=prompted, is_copy=sheet.is_copy)


def _read_workbook_sheet(raw: RawManifest, columns: Mapping[str, str]) -> Sheet:
    uri, findings = raw.uri, raw.findings
    prompts = [columns[name] for name in ("prompt", "motion_prompt") if name in columns]
    workbook = read_workbook(raw.data, uri, raw.sheet, prompts, findings)
    sheet = shape_sheet(workbook.rows, uri, findings)
    note_traps(workbook, sheet.header_line, uri, findings)
    findings.tables[uri] = name_places(workbook, sheet.header_line, columns)
    return sheet


def _is_of_text(sheet: Sheet) -> bool:
    """Return whether the rows of a sheet can be videos of text alone.

    These need no prompt of a picture.
    """
    return "takes" in sheet.headers and "motion_prompt" in sheet.headers


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
    place, wanted = split_sheet(place)
    try:
        loaded.table = read_bytes(place)
        if is_workbook(place):
            sheet = _read_workbook_sheet(replace(raw, uri=place, data=loaded.table, sheet=wanted), form.columns)
        else:
            tabs = PurePosixPath(place).suffix.lower() in (".tsv", ".tab")
            sheet = read_sheet(decode_sheet(loaded.table, place, findings), place, tabs=tabs, findings=findings)
    except ManifestError as error:
        for problem in error.problems:
            findings.problem(problem)
        return []
    elsewhere = "prompt" in form.defaults or bool(form.shots)
    sheet = fold_sheet(sheet, place, form.columns, elsewhere or "prompt" in form.columns, findings)
    drafts = drafts_of(sheet, place, form.columns, {}, findings)
    drafts = drafts if elsewhere else leave_out_dragged(drafts, findings)
    loaded.prompted = check_prompt_column(sheet, place, form.columns, elsewhere, findings)
    used = _collect_placeholders(
        [*(draft.cells for draft in drafts), *(shot.cells for shot in form.shots), form.defaults]
    )
    note_lookalikes(sheet, place, form.columns, used, findings)
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
    file, sheet = split_sheet(text)
    place = InputFiles(uri, ()).locate(file)
    if isinstance(place, Refused):
        findings.problem(
            Problem(uri, line, "rows", place.what, place.allowed, "name it beside the manifest, or give it by --var")
        )
        return None
    return f"{place}#{sheet}" if sheet else place


def restore_variables(drafts: Sequence[Draft], defaults: Mapping[str, Cell]) -> None:
    """Make variables of later columns that are used as placeholders.

    In place. They were variables before callsheet knew such columns.
    """
    if not any(LATER & draft.cells.keys() for draft in drafts):
        return
    used = LATER & _collect_placeholders([*(draft.cells for draft in drafts), defaults])
    for draft in drafts:
        if own := used & draft.cells.keys():
            draft.variables = {**draft.variables, **{name: draft.text(name) or "" for name in own}}
            draft.cells = {column: cell for column, cell in draft.cells.items() if column not in own}


def _collect_placeholders(cells: Iterable[Mapping[str, Cell]]) -> frozenset[str]:
    """Return all placeholders that occur in some cells."""
    texts = {text for each in cells for cell in each.values() for text in ((cell,) if isinstance(cell, str) else cell)}
    return frozenset(name for text in texts if "{" in text for name in placeholders(text))
