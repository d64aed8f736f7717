"""How much work a piece of code does, as calls: a busy machine makes them slower, and no more of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

# What grows with the square of its input makes four times the calls for twice the input; sorting, a little over two.
ABOUT_TWICE = 2.4


def calls_of(work: Callable[[], Any]) -> int:
    """Count the functions that are called in this thread, those written in C as well."""
    calls = 0

    def count(_frame: Any, event: str, _of: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def assert_grows_with_its_input(work: Callable[[int], Callable[[], Any]], size: int) -> None:
    """Hold that twice the input is about twice the work. `work` prepares it for a size; the first run warms up."""
    work(size)()
    once, twice = calls_of(work(size)), calls_of(work(2 * size))
    assert twice < ABOUT_TWICE * once, f"{once:,} calls for {size}, {twice:,} for {2 * size}"
