"""A batch's progress on stderr."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from callsheet.cli.output import err, say
from callsheet.context.context import RunContext
from callsheet.context.progress import STEPS
from callsheet.context.progress import Progress as BatchProgress

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


class ProgressView:
    """Follows one batch, and can stop it."""

    def __init__(self) -> None:
        self.run: RunContext | None = None
        self.is_stopped = False
        self._bars = Bars()

    def __enter__(self) -> Self:
        self._bars.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.__exit__(kind, error, trace)
        if not err.is_terminal and self.run is not None:
            say(self.run.state.progress.as_text())

    def watch(self, run: RunContext) -> None:
        """Follow this batch's progress from now on."""
        self.run = run
        run.state.progress.listen(self._changed)

    def stop(self) -> None:
        """Ask the batch to stop cleanly."""
        if self.run is not None:
            self.is_stopped = True
            self.run.state.stop()

    def _changed(self, progress: BatchProgress, _: str) -> None:
        for step in STEPS:
            if progress.wanted[step]:
                self._bars.tell(step, progress.ended[step], progress.wanted[step], progress.as_text())
