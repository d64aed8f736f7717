"""How the shots of a batch are put into groups: the unit that goes through the steps together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

# Small batches have a task run for every shot and step; more groups than this would cost the server more time than
# the pictures take (about 40 ms of its CPU per task run, measured 2026-11-21).
MOST_GROUPS = 50


def groups(shots: Sequence[T], most: int = MOST_GROUPS) -> list[list[T]]:
    """The shots in groups of neighbours: of one while the batch has at most `most`, else in half as many groups.

    A large batch is not followed shot by shot, and the task runs of each group cost this process and the server CPU.
    """
    size = 1 if len(shots) <= most else -(-len(shots) // max(1, most // 2))
    return [list(shots[start : start + size]) for start in range(0, len(shots), size)]
