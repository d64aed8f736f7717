"""Groups and shards of a batch, and what is done about a shard's run.

Pure, in the words of the scheduler's state types.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")

# Small batches have a task run for every shot and step; more groups than this would cost the server more time than
# the pictures take (about 40 ms of its CPU per task run, measured 2026-11-21).
MOST_GROUPS = 50


def groups(shots: Sequence[T], most: int = MOST_GROUPS) -> list[list[T]]:
    """Return the shots in groups of neighbours.

    Of one while the batch has at most `most`, else in half as many groups. A large batch is not followed shot by shot,
    and the task runs of each group cost this process and the server CPU.
    """
    size = 1 if len(shots) <= most else -(-len(shots) // max(1, most // 2))
    return [list(shots[start : start + size]) for start in range(0, len(shots), size)]


@dataclass(frozen=True, slots=True)
class Shard:
    """Shots `first` to `last` of a manifest in the revision with this sha256.

    The numbers are 1-based, both included. The same revision and size give the same shards, so a batch that is started
    again finds its runs.
    """

    first: int
    last: int
    revision: str

    @property
    def stretch(self) -> slice:
        """The place of its shots among those of the manifest."""
        return slice(self.first - 1, self.last)

    @property
    def label(self) -> str:
        """`shots 501 to 1000`."""
        return f"shots {self.first} to {self.last}"


def shards_of(shots: Sequence[str], going: Collection[str], size: int, revision: str) -> list[Shard]:
    """Return the stretches of `size` shots in which some are still `going`.

    `shots` are ids, in the manifest's order.
    """
    starts = range(0, len(shots), size)
    stretches = [Shard(start + 1, min(start + size, len(shots)), revision) for start in starts]
    asked = set(going)
    return [shard for shard in stretches if not asked.isdisjoint(shots[shard.stretch])]


# A run that crashed or failed is followed by another one, so often at most.
MOST_RUNS = 3
# What no worker has taken after this is done by the run that split the batch, so that it ends with any number of them.
PATIENCE_S = 60.0
# Starting a container on a cold machine may take minutes, in which it gives no sign of life.
STARTING_S = 900.0


class Next(StrEnum):
    """The next step about a shard."""

    WAIT = "wait"
    TAKE = "take"
    LOST = "lost"
    AGAIN = "again"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Stand:
    """The state of a shard's run.

    Its state's type, seconds since its last sign of life, and which run it is.
    """

    state: str
    silent_s: float
    runs: int = 1


def what_next(stand: Stand, silence_s: float) -> Next:
    """Return what to do about a shard.

    Take over what nobody begins, give up what is silent, begin again what crashed; a person's cancelling is final.
    `silence_s` is how long a run that works may give no sign of life.
    """
    match stand.state:
        case "COMPLETED" | "CANCELLED":
            return Next.OVER
        case "FAILED" | "CRASHED":
            return Next.AGAIN if stand.runs < MOST_RUNS else Next.OVER
        case "SCHEDULED":
            return Next.TAKE if stand.silent_s >= PATIENCE_S else Next.WAIT
        case "PENDING":
            return Next.LOST if stand.silent_s >= max(silence_s, STARTING_S) else Next.WAIT
        case "PAUSED":
            return Next.WAIT
        case _:
            return Next.LOST if stand.silent_s >= silence_s else Next.WAIT
