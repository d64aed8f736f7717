"""What is done about the run of a shard, from how it stands: pure, in the words of the scheduler's state types."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# A run that crashed or failed is followed by another one, so often at most.
MOST_RUNS = 3
# What no worker has taken after this is done by the run that split the batch, so that it ends with any number of them.
PATIENCE_S = 60.0
# Starting a container on a cold machine may take minutes, in which it gives no sign of life.
STARTING_S = 900.0


class Next(StrEnum):
    """What is done about a shard."""

    WAIT = "wait"
    TAKE = "take"
    LOST = "lost"
    AGAIN = "again"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Stand:
    """How the run of a shard stands: its state's type, seconds since its last sign of life, and which run it is."""

    state: str
    silent_s: float
    runs: int = 1


def what_next(stand: Stand, silence_s: float) -> Next:
    """Take over what nobody begins, give up what is silent, begin anew what crashed; a person's cancelling is final.

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
