"""The pandera schema of all rows at once, on polars.

It checks types, ranges, patterns and uniqueness. Importing pandera takes about a second, so this module is imported
only when a manifest is read.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import pandera.backends.polars.builtin_checks  # noqa: F401  with this module, not at the first check
import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData
from pandera.errors import SchemaErrors

from callsheet.errors import Problem
from callsheet.manifest.columns import (
    COLUMNS,
    ID_PATTERN,
    MAX_CELL_CHARS,
    MAX_CHAIN,
    MAX_CLIPS,
    MAX_SEED,
    MAX_TAKES,
    SELECT_PATTERN,
    SELECT_WORDS,
)
from callsheet.manifest.draft import Draft
from callsheet.manifest.expand import slug
from callsheet.manifest.picture_cells import PaidKind
from callsheet.manifest.problems import Findings, did_you_mean, quote_value
from callsheet.models import Refusal
from callsheet.platforms import Platforms

_ID_ALLOWED = "allowed: 1 to 200 of A-Z a-z 0-9 . _ -, first a letter or digit, no `..` and no dot at the end"


@dataclass(frozen=True, slots=True)
class _Rule:
    column: str
    name: str
    holds: Callable[[pl.Expr], pl.Expr]
    what: Callable[[str], str]
    allowed: str
    suggestion: Callable[[str], str] = lambda _value: ""


def _make_whole_rule(column: str, low: int, high: int, *, unit: str = "") -> _Rule:
    def holds(value: pl.Expr) -> pl.Expr:
        digits = value.str.contains(r"^[0-9]{1,10}$")
        return digits & value.cast(pl.Int64, strict=False).is_between(low, high)

    return _Rule(
        column,
        "whole",
        holds,
        lambda value: f"{quote_value(value)} is no such number",
        f"allowed: {low} to {high}{unit}",
    )


def _make_pattern_rule(
    column: str, pattern: str, allowed: str, *, suggestion: Callable[[str], str] = lambda _value: ""
) -> _Rule:
    # Lookahead is not in polars' regular expressions, so ids say "no two dots, none at the end" apart from it.
    simple = pattern.replace(r"|\.(?!\.|$)", r"|\.")

    def holds(value: pl.Expr) -> pl.Expr:
        matches = value.str.contains(simple)
        if simple == pattern:
            return matches
        return matches & ~value.str.contains("..", literal=True) & ~value.str.ends_with(".")

    return _Rule(column, "pattern", holds, lambda value: f"{quote_value(value)} is not fit", allowed, suggestion)


def _suggest_id(value: str) -> str:
    return f"write {found}" if (found := slug(value)) else ""


_RULES: tuple[_Rule, ...] = (
    _make_pattern_rule("id", ID_PATTERN, _ID_ALLOWED, suggestion=_suggest_id),
    _make_whole_rule("takes", 0, MAX_TAKES),
    _make_whole_rule("seed", 0, MAX_SEED),
    _make_whole_rule("duration_s", 1, 3600, unit=" seconds"),
    _make_whole_rule("extend", 0, MAX_CHAIN, unit=" steps"),
    _make_whole_rule("clips", 1, MAX_CLIPS),
    _make_pattern_rule(
        "select_clip",
        rf"^(?:best|first|[1-{MAX_CLIPS}])$",
        f"allowed: best, first, or a clip's number, 1 to {MAX_CLIPS}",
        suggestion=lambda value: did_you_mean(value, ("best", "first")),
    ),
    _make_pattern_rule(
        "select",
        SELECT_PATTERN,
        "allowed: best, first, all, approve, or take numbers such as 2 or 1;3",
        suggestion=lambda value: did_you_mean(value, SELECT_WORDS),
    ),
    _Rule("prompt", "present", lambda value: value.str.len_chars() > 0, lambda _: "there is no prompt", "needed: text"),
    *(
        _Rule(
            column,
            "length",
            lambda value: value.str.len_chars() <= MAX_CELL_CHARS,
            lambda value: f"the text has {len(value)} characters",
            f"allowed: at most {MAX_CELL_CHARS}",
        )
        for column in COLUMNS
        if column != "id"
    ),
)
_BY_NAME = {(rule.column, rule.name): rule for rule in _RULES}


def _make_check(rule: _Rule) -> pa.Check:
    def check(data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(rule.holds(pl.col(data.key)))

    return pa.Check(check, name=rule.name, error=rule.name)


@cache
def _make_schema(columns: tuple[str, ...]) -> pa.DataFrameSchema:
    """Return the schema of a sheet that says something in these columns.

    The others are left out: pandera takes 2 ms of CPU for each.
    """
    return pa.DataFrameSchema(
        {
            **{
                column: pa.Column(
                    pl.String, [_make_check(rule) for rule in _RULES if rule.column == column], nullable=True
                )
                for column in columns
            },
            # Ids are folder names, and some file systems do not tell A from a.
            "folded_id": pa.Column(pl.String, unique=True, nullable=True),
        },
        strict=True,
    )


def check_table(drafts: Sequence[Draft], findings: Findings) -> set[tuple[int, str]]:
    """Note every value that breaks a rule; return where those values are.

    Each is a position of the draft and a column.
    """
    said = set[str]().union(*(draft.cells for draft in drafts))
    columns = tuple(column for column in COLUMNS if column in said)
    frame = pl.DataFrame(
        {
            **{column: [draft.text(column) for draft in drafts] for column in columns},
            "folded_id": [(draft.text("id") or "").casefold() for draft in drafts],
        },
        schema={**dict.fromkeys(columns, pl.String), "folded_id": pl.String},
    )
    try:
        _make_schema(columns).validate(frame, lazy=True)
    except SchemaErrors as errors:
        return _note(errors.failure_cases, drafts, findings)
    return set()


def _note(cases: pl.DataFrame, drafts: Sequence[Draft], findings: Findings) -> set[tuple[int, str]]:
    wrong: set[tuple[int, str]] = set()
    first: dict[str, int] = {}
    for column, check, index in cases.select("column", "check", "index").iter_rows():
        if column == "folded_id":
            _note_duplicate(drafts, index, first, findings=findings)
            continue
        rule = _BY_NAME[column, check]
        value = drafts[index].text(column) or ""
        drafts[index].problem(findings, column, rule.what(value), rule.allowed, rule.suggestion(value))
        wrong.add((index, column))
    return wrong


def _note_duplicate(drafts: Sequence[Draft], index: int, first: dict[str, int], *, findings: Findings) -> None:
    shot_id = drafts[index].text("id") or ""
    earlier = first.setdefault(shot_id.casefold(), index)
    if earlier != index:
        what = f"the id {quote_value(shot_id)} occurs twice (first in line {drafts[earlier].place_of('id')[1]})"
        # Which of the two is meant is no question of one row.
        place = drafts[index].place_of("id")
        findings.problem(Problem(*place, "id", what, "allowed: each id once, without regard to case"))


def check_cuts(draft: Draft, cuts: Sequence[str], platforms: Platforms, findings: Findings) -> tuple[str, ...]:
    """Return the cuts by the names of their platforms.

    Every one that is not known or listed twice is noted.
    """
    names: list[str] = []
    for cut in cuts:
        spec = platforms.find(cut)
        if spec is None:
            allowed = f"allowed: {', '.join(platforms.names)}"
            draft.problem(
                findings, "cuts", f"unknown cut {quote_value(cut)}", allowed, did_you_mean(cut, platforms.names)
            )
        elif spec.name in names:
            draft.problem(findings, "cuts", f"the cut {spec.name} is listed twice", "allowed: each cut once")
        else:
            names.append(spec.name)
    return tuple(names)


def collect_texts(draft: Draft, takes: int, motion: str | None) -> Iterator[tuple[PaidKind, str]]:
    """Yield the texts that go out with a request of a kind, or with what comes of it."""
    if takes:
        yield from (("image", column) for column in ("prompt", "negative_prompt", "system_instruction", "tags"))
    if motion:
        yield from (("video", column) for column in ("motion_prompt", "clip_edits", "negative_prompt", "tags"))


def find_controls(draft: Draft, column: str) -> list[Refusal]:
    """Return findings about control characters other than tabs and line breaks.

    Providers refuse them, and terminals and logs obey them.
    """
    text = draft.text(column) or ""
    found = next(((n, c) for n, c in enumerate(text, 1) if unicodedata.category(c) == "Cc" and c not in "\t\n\r"), None)
    if found is None:
        return []
    what = f"there is a control character, U+{ord(found[1]):04X}, at character {found[0]}"
    return [Refusal(column, what, "allowed: text, tabs and line breaks", "remove it")]
