"""Names of quota scopes: "gemini_api:my-project", and earlier versions' names.

A scope says whose quota a request counts against. Until 2026-11 a scope was the project, else `key-` and eight digits
of the key's hash, else "none", on all platforms alike. What was counted or learned under such a name today counts on.
"""

from __future__ import annotations

from sqlalchemy import Column, ColumnElement, Connection, bindparam, or_, select

from callsheet.ledger.tables import attempts, learned_limits

_PLATFORMS = ("gemini_api", "agent_platform")
_REHEARSAL = "rehearsal"
# One underscore, LIKE's wildcard, for each digit of the hash.
_OF_A_KEY = "key-________"


def names_of(connection: Connection, scope: str) -> tuple[str, ...]:
    """Return the scope and its names of earlier versions that count for it.

    Read once per connection: none is added.
    """
    known: dict[str, tuple[str, ...]] = connection.info.setdefault("quota scopes", {})
    if scope not in known:
        known[scope] = (scope, *_find_earlier_names(connection, scope))
    return known[scope]


def is_in(column: Column[str], names: int) -> ColumnElement[bool]:
    """Build the condition that the column has one of so many names.

    They are given as `scope_0` and so on.
    """
    return or_(*(column == bindparam(f"scope_{n}") for n in range(names)))


def bind_names(names: tuple[str, ...]) -> dict[str, object]:
    """Build the values for `is_in`."""
    return {f"scope_{n}": name for n, name in enumerate(names)}


def _find_earlier_names(connection: Connection, scope: str) -> list[str]:
    platform, _, project = scope.partition(":")
    if platform == _REHEARSAL:
        return [_REHEARSAL] if project else []
    if platform not in _PLATFORMS:
        return []
    found: set[str] = set()
    for table in (attempts, learned_limits):
        # Whose project a key is of was not known then: it counts for whichever is named now.
        earlier = or_(table.c.scope.in_([name for name in ("none", project) if name]), table.c.scope.like(_OF_A_KEY))
        found.update(connection.execute(select(table.c.scope).where(earlier).distinct()).scalars())
    return sorted(found)
