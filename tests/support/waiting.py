"""Waiting for what another process does."""

from __future__ import annotations

import time
from typing import Any


def wait_for(condition: Any, within_s: float = 60.0) -> None:
    """Wait until a condition holds; an assertion error when it does not in time."""
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, "it did not come to pass"
        time.sleep(0.05)
