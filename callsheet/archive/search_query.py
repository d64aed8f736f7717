"""The query of `callsheet find`, as conditions on the catalogue's columns. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Literal

import polars as pl

from callsheet.shots import Mode

# The folded text that words are looked for in; a column that only exists during a search.
TEXT = "_text"


@dataclass(frozen=True, slots=True)
class Query:
    """A search in which everything given must fit.

    Several names of one column are alternatives; several words or tags all apply. Names match whole, without regard to
    case, and may contain `*` and `?`; those of models may be a part of the name. `since` is the first moment, `until`
    the first moment that is too late; money in USD.
    """

    words: tuple[str, ...] = ()
    campaigns: tuple[str, ...] = ()
    batches: tuple[str, ...] = ()
    shots: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    mode: Mode | None = None
    since: datetime | None = None
    until: datetime | None = None
    min_usd: Decimal | None = None
    max_usd: Decimal | None = None

    def names(self) -> dict[str, tuple[str, ...]]:
        """Return the names given, by column."""
        return {
            "campaign": self.campaigns,
            "batch": self.batches,
            "shot": self.shots,
            "model": self.models,
            "kind": self.kinds,
        }


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a query: how it was given, and the rows that fit.

    `on` is what it looks at: a fact that is the same in every part, one that may differ in a later part, or the text.
    """

    told: str
    fits: pl.Expr
    on: Literal["fact", "latest", "text"] = "fact"


def conditions(query: Query) -> list[Condition]:
    """Convert the query to conditions; rows fit that meet all of them."""
    return [*_build_name_conditions(query), *_build_fact_conditions(query), *_build_late_conditions(query)]


def fold(text: str) -> str:
    """Fold the text for comparison.

    Without case, and alike however its characters are composed (Unicode NFKC).
    """
    return text.lower() if text.isascii() else _fold(text)


@lru_cache(maxsize=1024)  # the files of a shot come one after the other and have the same text
def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def with_text(rows: pl.DataFrame) -> pl.DataFrame:
    """Add to the rows the folded text of prompts, campaign, shot and tags.

    No word spans two of them.
    """
    names = pl.concat_str("campaign", "shot", pl.col("tags").list.join("\n"), separator="\n", ignore_nulls=True)
    texts = [
        _fold_series(rows["prompt"]),
        _fold_series(rows["frame_prompt"]),
        _fold_series(rows.select(names).to_series()),
    ]
    return rows.with_columns(pl.concat_str(*texts, separator="\n", ignore_nulls=True).alias(TEXT))


def _fold_series(texts: pl.Series) -> pl.Series:
    # What is not ASCII is folded by Python; for the rest small letters are the same, and they are had at once.
    others = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
    return texts.str.to_lowercase().scatter(others, [fold(text) for text in texts.gather(others).to_list()])


def like(column: pl.Expr, name: str, *, part: bool = False) -> pl.Expr:
    """Build the condition that the column matches this name, without regard to case.

    `*` stands for any text and `?` for a character. `part`: a name without these may also be a part of it.
    """
    pattern = "".join({"*": ".*", "?": "."}.get(character) or re.escape(character) for character in name)
    whole = not part or set(name) & {"*", "?"}
    return column.str.contains(f"(?is)^(?:{pattern})$" if whole else f"(?is){pattern}").fill_null(value=False)


def has_name(column: str, name: str) -> pl.Expr:
    """Build the condition that an asset has this name in this column."""
    if column == "tags":
        return pl.col(column).list.eval(like(pl.element(), name)).list.any().fill_null(value=False)
    return like(pl.col(column), name, part=column == "model")


def _build_name_conditions(query: Query) -> Iterator[Condition]:
    for column, names in query.names().items():
        if names:
            told = " ".join(f"--{column} {name}" for name in names)
            yield Condition(told, pl.any_horizontal(has_name(column, name) for name in names))


def _build_fact_conditions(query: Query) -> Iterator[Condition]:
    if query.mode:
        yield Condition(f"--mode {query.mode}", pl.col("mode") == query.mode)
    if query.since:
        yield Condition(f"--since {moment(query.since)}", pl.col("created") >= query.since)
    if query.until:
        yield Condition(f"--until {moment(query.until - timedelta(microseconds=1))}", pl.col("created") < query.until)


def _build_late_conditions(query: Query) -> Iterator[Condition]:
    if query.min_usd is not None:
        yield Condition(f"--min-usd {query.min_usd:f}", pl.col("usd") >= float(query.min_usd), "latest")
    if query.max_usd is not None:
        yield Condition(f"--max-usd {query.max_usd:f}", pl.col("usd") <= float(query.max_usd), "latest")
    for tag in query.tags:
        yield Condition(f"--tag {tag}", has_name("tags", tag), "latest")
    for word in query.words:
        yield Condition(repr(word), pl.col(TEXT).str.contains(fold(word), literal=True), "text")


def moment(at: datetime) -> str:
    """Format a moment as it is given on the command line.

    The day alone where that says the same.
    """
    if (at.hour, at.minute, at.second) in {(0, 0, 0), (23, 59, 59)}:
        return at.date().isoformat()
    return at.isoformat(sep=" ", timespec="minutes")
