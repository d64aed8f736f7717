"""Progress on stderr: live bars on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from callsheet.progress import STEPS
from callsheet.progress import Progress as BatchProgress
from callsheet.studio import Studio
from cli.output import err, say

LINE_EVERY_S = 5.0


class ProgressView:
    """Follows one batch, and can stop it. A Watcher of `callsheet.progress`."""

    def __init__(self) -> None:
        self.studio: Studio | None = None
        self._bars = Progress(
            TextColumn("{task.description:>7}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=err
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
        elif self.studio is not None:
            self._line(self.studio.progress)

    def watch(self, studio: Studio) -> None:
        """Follow this studio's progress from now on."""
        self.studio = studio
        studio.progress.listener = self._changed

    def stop(self) -> None:
        """Ask the batch to stop cleanly."""
        if self.studio is not None:
            self.studio.stop()

    def _changed(self, progress: BatchProgress, _: str) -> None:
        if err.is_terminal:
            self._draw(progress)
        elif time.monotonic() - self._last_line > LINE_EVERY_S:
            self._line(progress)

    def _draw(self, progress: BatchProgress) -> None:
        for step in STEPS:
            if progress.wanted[step] and step not in self._ids:
                self._ids[step] = self._bars.add_task(step, total=progress.wanted[step])
            if step in self._ids:
                self._bars.update(self._ids[step], total=progress.wanted[step], completed=progress.ended[step])

    def _line(self, progress: BatchProgress) -> None:
        self._last_line = time.monotonic()
        say(progress.as_text())
