"""Decisions of people about frames: which takes of a shot are animated, or that none is. Pure values and rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

# The kinds under which ledger, sidecar and plan tell that a shot waits for a decision, or ended by one.
APPROVAL = "approval"
REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class FrameDecision:
    """What a person decided about the takes of a shot: those approved, by number and sha256; none of them rejects it.

    `shown` are all the takes that there were to choose from. `n` counts the decisions about a shot from 1; it is 0,
    and `at` None, until the ledger has it.
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
        """Whether no take is to be animated."""
        return not self.takes

    def holds_for(self, takes: Mapping[int, str]) -> bool:
        """Whether it still answers the question that these takes ask.

        It does while nobody could see a take that was not shown then, and what was approved is there as it was.
        """
        return bool(takes) and takes.items() <= self.shown.items() and self.takes.items() <= takes.items()

    def says_as(self, other: FrameDecision) -> bool:
        """Whether both decide the same, whoever decided and in whatever words."""
        return dict(self.takes) == dict(other.takes)

    def told(self) -> str:
        """The decision in words: "take 2 approved by Ada", "rejected by Ada: too dark"."""
        what = f"{numbered(self.takes)} approved" if self.takes else "rejected"
        return f"{what} by {self.by}" + (f": {self.note}" if self.note else "")

    def sentence(self) -> str:
        """The decision as a sentence."""
        told = self.told()
        return f"{told[0].upper()}{told[1:].rstrip('.')}."


@dataclass(frozen=True, slots=True)
class FramePin:
    """A choice of frame that callsheet made of a shot's takes, on record before its clip is paid for.

    `wish` says what it answers: the clip that is asked for, and how its frame is selected. `n` counts the choices for a
    shot from 1; it is 0, and `at` None, until the ledger has it.
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
        """Whether the shot still asks for the same, and the take is there as it was; other takes do not matter."""
        return self.wish == wish and takes.get(self.take) == self.sha256


def numbered(takes: Iterable[int]) -> str:
    """The takes in words, such as "take 2" or "takes 1, 3"."""
    numbers = [str(take) for take in takes]
    return f"take{'' if len(numbers) == 1 else 's'} {', '.join(numbers)}"


def holding(decisions: Sequence[FrameDecision], takes: Mapping[int, str]) -> FrameDecision | None:
    """The newest decision, of those about one shot in order of time, that holds for its takes as they are now."""
    return next((one for one in reversed(decisions) if one.holds_for(takes)), None)


def waits(batch: str, takes: Iterable[int]) -> str:
    """Why a shot waits, and what to do."""
    return f"A person chooses among {numbered(sorted(takes))}, in the gallery or with: callsheet approve {batch}"
