"""How far long work has come, on stderr: bars on a terminal, now and then a line otherwise."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cli.output import err, say

LINE_EVERY_S = 5.0


class Bars:
    """Told what is being done, how much of it is done, and of how much."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=err
        )
        self._ids: dict[str, TaskID] = {}
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        if err.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if err.is_terminal:
            self._bars.stop()

    def tell(self, what: str, done: int, of: int, line: str = "") -> None:
        """Show it; `line` is what is said of it where there are no bars."""
        if err.is_terminal:
            if what not in self._ids:
                self._ids[what] = self._bars.add_task(what, total=of)
            self._bars.update(self._ids[what], completed=done, total=of)
        elif time.monotonic() - self._last_line > LINE_EVERY_S:
            self._last_line = time.monotonic()
            say(line or f"{what} {done} of {of}")
