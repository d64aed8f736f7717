"""A batch's progress on stderr."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from callsheet.progress import STEPS
from callsheet.progress import Progress as BatchProgress
from callsheet.studio import Studio
from cli.bars import Bars
from cli.output import err, say


class ProgressView:
    """Follows one batch, and can stop it. A Watcher of `callsheet.progress`."""

    def __init__(self) -> None:
        self.studio: Studio | None = None
        self.is_stopped = False
        self._bars = Bars()

    def __enter__(self) -> Self:
        self._bars.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.__exit__(kind, error, trace)
        if not err.is_terminal and self.studio is not None:
            say(self.studio.progress.as_text())

    def watch(self, studio: Studio) -> None:
        """Follow this studio's progress from now on."""
        self.studio = studio
        studio.progress.listener = self._changed

    def stop(self) -> None:
        """Ask the batch to stop cleanly."""
        if self.studio is not None:
            self.is_stopped = True
            self.studio.stop()

    def _changed(self, progress: BatchProgress, _: str) -> None:
        for step in STEPS:
            if progress.wanted[step]:
                self._bars.tell(step, progress.ended[step], progress.wanted[step], progress.as_text())
