"""How far a batch is, as numbers that a terminal or the Prefect UI can follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from callsheet.studio import Studio

Step = Literal["images", "clips", "cuts", "shots"]
STEPS: tuple[Step, ...] = ("images", "clips", "cuts", "shots")


@dataclass
class Progress:
    """Counts per step: how many are wanted and how many have ended, well or not."""

    wanted: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    listener: Callable[[Progress, str], None] | None = None

    def advance(self, step: Step, count: int = 1, *, failed: bool = False) -> None:
        """Count `count` more things as ended."""
        self.ended[step] += count
        if failed:
            self.failed[step] += count
        self.tell(step)

    @property
    def percent(self) -> float:
        """0 to 100 over everything that is wanted; 100 when nothing is, or when every shot has ended."""
        wanted = sum(self.wanted.values())
        if not wanted or 0 < self.wanted["shots"] <= self.ended["shots"]:
            return 100.0
        return min(100.0, 100.0 * sum(self.ended.values()) / wanted)

    def as_text(self) -> str:
        """`images 3/12, clips 0/4, ...` for the steps that have something to do."""
        parts = (f"{step} {self.ended[step]}/{self.wanted[step]}" for step in STEPS if self.wanted[step])
        return ", ".join(parts) or "nothing to do"

    def tell(self, event: str) -> None:
        """Tell the listener that something changed."""
        if self.listener is not None:
            self.listener(self, event)


class Watcher(Protocol):
    """Whoever wants to follow a batch and may stop it: the command line, say."""

    def watch(self, studio: Studio) -> None:
        """A batch of this context has been opened."""
        ...


# Set before a batch is run in the same context; a worker's batch has no watcher.
watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
