"""Editions: the names that are allowed, and placeholders such as `{date}`.

A placeholder is filled in from the time for which a run was scheduled.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from string import Formatter

from callsheet.errors import SettingsError

# Each names a span of time: two runs within it go on with one batch. As in ISO 8601, without colons. When clocks are
# put back an hour comes twice, and is two spans.
PLACEHOLDERS: dict[str, Callable[[datetime], str]] = {
    "date": lambda at: f"{at:%Y-%m-%d}",
    "week": lambda at: f"{at:%G-W%V}",
    "month": lambda at: f"{at:%Y-%m}",
    "hour": lambda at: f"{at:%Y-%m-%dT%H}{_repeated_hour_offset(at)}",
    "minute": lambda at: f"{at:%Y-%m-%dT%H%M}{_repeated_hour_offset(at)}",
}
# A part of folder names, of the batch's name between dots, and of object names in buckets.
_ALLOWED = re.compile(r"[^\W_][\w+-]{0,79}")


def _repeated_hour_offset(at: datetime) -> str:
    """Return the UTC offset where a clock that was put back repeats a time, else ""."""
    return f"{at:%z}" if at.fold else ""


def has_placeholder(edition: str | None) -> bool:
    """Return whether an edition has a placeholder that is still to be filled in."""
    return edition is not None and "{" in edition


def edition_at(edition: str, at: datetime) -> str:
    """Fill in an edition's placeholders for the time `at`, in its own time zone.

    Depends on nothing else, so a run that starts late or once more gets the edition it was scheduled for. Raises
    SettingsError for a placeholder that does not exist.
    """
    try:
        parts = list(Formatter().parse(edition))
    except ValueError as error:
        raise _refuse_edition(edition) from error
    if any(name is not None and (name not in PLACEHOLDERS or form or convert) for _, name, form, convert in parts):
        raise _refuse_edition(edition)
    return "".join(text + (PLACEHOLDERS[name](at) if name is not None else "") for text, name, _, _ in parts)


def check_edition(edition: str | None) -> None:
    """Raise SettingsError for an edition that cannot be part of a batch's name."""
    if edition is not None and not _ALLOWED.fullmatch(edition):
        raise SettingsError(
            f"{edition!r} cannot be an edition. Nothing was made. It is a word of letters, digits, - + and _, at most "
            "80 of them, such as 2026-11-21; with {date} in it, the date is filled in."
        )


def _refuse_edition(edition: str) -> SettingsError:
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    return SettingsError(f"Edition {edition!r} cannot be filled in. Nothing was made. It may hold {known}.")
