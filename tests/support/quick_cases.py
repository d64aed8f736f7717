"""Short forms of tests with many dear cases: the quick suite runs those that are named, `make slow` the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

MARKER = "quick_cases"


def mark_slow_cases(items: Sequence[Any]) -> None:
    """Mark the cases slow that `@pytest.mark.quick_cases("an id", ...)` of their test does not name."""
    named: dict[str, set[str]] = {}
    for item in items:
        if marker := item.get_closest_marker(MARKER):
            left = named.setdefault(item.nodeid.partition("[")[0], set(marker.args))
            if item.callspec.id not in marker.args:
                item.add_marker(pytest.mark.slow)
            left.discard(item.callspec.id)
    missing = {test: ids for test, ids in named.items() if ids}
    if missing and not any("::" in argument for argument in items[0].config.args):
        raise pytest.UsageError(f"quick_cases names what there is not: {missing}")
