"""How far a batch is, as numbers that a terminal or the Prefect UI can follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from callsheet.ledger import Job

Made = Literal["image", "video", "cut", "look"]
How = Literal["created", "reused", "resumed"]


@dataclass
class RunCounts:
    """Counts of one run.

    A job counts when it has a result; `submissions` counts requests that were accepted.
    """

    made: Counter[tuple[Made, How]] = field(default_factory=Counter)
    submissions: Counter[Literal["image", "video", "look"]] = field(default_factory=Counter)

    def count(self, made: Made, how: How, job: Job | None = None, *, times: int = 1) -> None:
        """Count a result; a job that gave none is not counted."""
        if job is None or job.sha256 is not None:
            self.made[made, how] += times

    def accepted(self, kind: Literal["image", "video", "look"]) -> None:
        """Count a request that the provider accepted."""
        self.submissions[kind] += 1

    def as_json(self) -> dict[str, dict[str, int]]:
        """Return the counts as `run --json` prints them."""
        return {
            "images": {how: self.made["image", how] for how in ("created", "reused")},
            "videos": {how: self.made["video", how] for how in ("created", "reused", "resumed")},
            "cuts": {how: self.made["cut", how] for how in ("created", "reused")},
            "looks": {how: self.made["look", how] for how in ("created", "reused")},
            # Requests that most batches never send are told only where there were some.
            "submissions": {
                kind: self.submissions[kind]
                for kind in ("image", "video", "look")
                if kind != "look" or self.submissions[kind]
            },
        }


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

    def want(self, step: Step) -> None:
        """Count one more thing that is wanted."""
        self.wanted[step] += 1

    def set_shots(self, wanted: int, ended: int, failed: int) -> None:
        """Count shots alone, as the ledger tells of them, and tell the listener."""
        self.wanted, self.ended, self.failed = Counter(shots=wanted), Counter(shots=ended), Counter(shots=failed)
        self.tell("shots")

    def listen(self, listener: Callable[[Progress, str], None]) -> None:
        """Tell `listener` of every change from now on."""
        self.listener = listener

    @property
    def percent(self) -> float:
        """0 to 100 over everything that is wanted.

        100 when nothing is, or when every shot has ended.
        """
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
