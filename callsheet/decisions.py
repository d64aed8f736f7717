"""Decisions about frames: which takes of a shot are animated, or that none is.

Pure values and rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

# The kinds under which ledger, sidecar and plan tell that a shot waits for a decision, or ended by one.
APPROVAL = "approval"
REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class FrameDecision:
    """A person's decision about the takes of a shot.

    `takes` are those approved, by number and sha256; none of them rejects the shot. `shown` are all the takes that
    there were to choose from. `n` counts the decisions about a shot from 1; it is 0, and `at` None, until the ledger
    has it.
    """

    batch: str
    shot: str
    takes: Mapping[int, str]
    shown: Mapping[int, str]
    by: str
    note: str = ""
    n: int = 0
    at: datetime | None = field(default=None)

    @property
    def rejects(self) -> bool:
        """Return whether no take is to be animated."""
        return not self.takes

    def holds_for(self, takes: Mapping[int, str]) -> bool:
        """Return whether the decision still answers the question that these takes ask.

        It does while nobody could see a take that was not shown then, and what was approved is there as it was.
        """
        return bool(takes) and takes.items() <= self.shown.items() and self.takes.items() <= takes.items()

    def says_as(self, other: FrameDecision) -> bool:
        """Return whether both decide the same, whoever decided and in whatever words."""
        return dict(self.takes) == dict(other.takes)

    def describe(self) -> str:
        """Return the decision in words: "take 2 approved by Ada", "rejected by Ada: dark"."""
        what = f"{describe_takes(self.takes)} approved" if self.takes else "rejected"
        return f"{what} by {self.by}" + (f": {self.note}" if self.note else "")

    def sentence(self) -> str:
        """Return the decision as a sentence."""
        told = self.describe()
        return f"{told[0].upper()}{told[1:].rstrip('.')}."


@dataclass(frozen=True, slots=True)
class FramePin:
    """A frame that callsheet chose, on record before its clip is paid for.

    Or a clip among several of a frame: `take` is its number then. `wish` is what the choice answers: the clip that is
    asked for, and how its frame is selected. `n` counts the choices
    for a shot from 1; it is 0, and `at` None, until the ledger has it.
    """

    batch: str
    shot: str
    wish: str
    take: int
    sha256: str
    why: str
    n: int = 0
    at: datetime | None = None

    def holds_for(self, wish: str, takes: Mapping[int, str]) -> bool:
        """Return whether the shot asks for the same and the take is there as it was.

        Other takes do not matter.
        """
        return self.wish == wish and takes.get(self.take) == self.sha256


Told = TypeVar("Told", bound=FrameDecision | FramePin)


def merge_told(known: Sequence[Told], told: Sequence[Told]) -> list[Told]:
    """Return what is on record about a shot and what is told, each once.

    All have a time, and are numbered in its order: the newest counts, in whichever ledger it was taken.
    """
    own = [replace(one, n=0) for one in known]
    every = [*known, *(one for one in told if replace(one, n=0) not in own)]
    every.sort(key=lambda one: one.at or datetime.min.replace(tzinfo=UTC))
    return [replace(one, n=n) for n, one in enumerate(every, 1)]


def describe_takes(takes: Iterable[int]) -> str:
    """Return the takes in words, such as "take 2" or "takes 1, 3"."""
    numbers = [str(take) for take in takes]
    return f"take{'' if len(numbers) == 1 else 's'} {', '.join(numbers)}"


def holding(decisions: Sequence[FrameDecision], takes: Mapping[int, str]) -> FrameDecision | None:
    """Return the newest decision that holds for the takes as they are now, or None.

    `decisions` are those about one shot, in order of time.
    """
    return next((one for one in reversed(decisions) if one.holds_for(takes)), None)


def waits(batch: str, takes: Iterable[int]) -> str:
    """Return why a shot waits for a person, and what to do."""
    return f"A person chooses among {describe_takes(sorted(takes))}, in the gallery or with: callsheet approve {batch}"
