"""The steps of a batch, one module each: images, frames, clips, cuts, archive, report.

A step works on one shot, keeps what it learnt in the shot's `Work`, and records a failure there instead of
raising: one bad shot never stops the others. Only what makes the step worth repeating (archive or ledger out of
reach) is raised. Steps are idempotent; the ledger knows what was already done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

Result = TypeVar("Result")


async def all_of(parts: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Run the parts side by side, each to its end, and only then raise the first error.

    A part is never cancelled because of another: it may be in the middle of something paid.
    """
    ended = await asyncio.gather(*parts, return_exceptions=True)
    results: list[Result] = []
    for one in ended:
        if isinstance(one, BaseException):
            raise one
        results.append(one)
    return results
