"""From a table to drafts: which header is a column of ours, which is a variable."""

from __future__ import annotations

from collections.abc import Mapping

from callsheet.manifest.columns import COLUMNS, Cell
from callsheet.manifest.draft import Draft, known_column
from callsheet.manifest.findings import Findings, did_you_mean, shown
from callsheet.manifest.sheet import Sheet, rows_within_limit
from callsheet.models.suggestions import nearest


def drafts_of(
    sheet: Sheet, file: str, columns: Mapping[str, str], variables: Mapping[str, str], findings: Findings
) -> list[Draft]:
    """One draft per row. `columns` maps a column of ours to a header of the table; such cells are taken literally.

    A row without an id is labelled by its position: 0001, 0002 and so on, whatever its line.
    """
    sources = _sources(sheet, file, columns, findings)
    mapped = frozenset(columns)
    positions = {header: index for index, header in enumerate(sheet.headers)}
    extra = [(header, index) for header, index in positions.items() if sources.get(header) != index]
    drafts = []
    for number, row in enumerate(rows_within_limit(sheet.rows, file, findings), start=1):
        cells: dict[str, Cell] = {
            column: text
            for column, index in sources.items()
            if index < len(row.cells) and (text := row.cells[index].strip())
        }
        own = {header: row.cells[index].strip() for header, index in extra if index < len(row.cells)}
        merged = {**variables, **own}
        drafts.append(Draft(file, row.line, cells, merged, f"{number:04d}", mapped & cells.keys()))
    return drafts


def _sources(sheet: Sheet, file: str, columns: Mapping[str, str], findings: Findings) -> dict[str, int]:
    """The position in the table of each column of ours."""
    positions = {header: index for index, header in enumerate(sheet.headers)}
    sources = {header: index for header, index in positions.items() if header in COLUMNS}
    for column, header in columns.items():
        if not known_column(column, file, sheet.header_line, findings, where="columns"):
            continue
        if header in positions:
            sources[column] = positions[header]
        elif sheet.headers:
            what = f"the table has no column {shown(header)} to take {column} from"
            listed = f"the table has: {', '.join(sheet.headers[:30])}"
            findings.problem(file, sheet.header_line, column, what, listed, did_you_mean(header, sheet.headers))
    return sources


def check_prompt_column(
    sheet: Sheet, file: str, columns: Mapping[str, str], elsewhere: bool, findings: Findings
) -> bool:
    """Whether prompts can be had, from this table or `elsewhere`; if not, the header that looks like one is named."""
    if "prompt" in columns:
        return columns["prompt"] in sheet.headers
    if elsewhere or not sheet.headers or "prompt" in sheet.headers:
        return True
    guess = nearest("prompt", [header for header in sheet.headers if header not in COLUMNS], 75)
    hint = f"rename {guess!r} to 'prompt', or map it in a YAML file: columns: {{prompt: {guess}}}" if guess else ""
    listed = f"the table has: {', '.join(sheet.headers[:30])}"
    findings.problem(file, sheet.header_line, "prompt", "there is no column prompt", listed, hint)
    return False


def warn_of_lookalikes(
    sheet: Sheet, file: str, columns: Mapping[str, str], used: frozenset[str], findings: Findings
) -> None:
    """Warn of headers that look like a misspelt column and are not used as a placeholder."""
    known = {*COLUMNS, *used, *columns.values()}
    missing = tuple(column for column in COLUMNS if column not in set(sheet.headers))
    for header in sheet.headers:
        if not header or header in known:
            continue
        guess = nearest(header, missing, 85)
        if guess:
            what = f"{shown(header)} is taken as a template variable, and no text uses it"
            findings.warn(file, sheet.header_line, header[:60], what, "", f"did you mean the column {guess}?")
