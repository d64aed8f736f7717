"""What is known of a shot while its batch runs.

The results and failures that each step leaves for the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from callsheet.archive.sidecar import CutMaking
from callsheet.decisions import FrameDecision, FramePin
from callsheet.errors import (
    ArchiveConflict,
    ArchiveDenied,
    ArchiveError,
    ArchiveLost,
    CallsheetError,
    DownloadFailed,
    LedgerError,
    NotApproved,
    OperationOverdue,
    OperationWithheld,
    ParentAwaited,
    ParentStuck,
    Parked,
    ProviderError,
    Stopped,
)
from callsheet.ledger import Job, JobState
from callsheet.media.facts import FrameScore
from callsheet.media.frames import Choice
from callsheet.platforms import PlatformSpec
from callsheet.shots import Asset, Failure, Finish, Shot, ShotOutcome


@dataclass
class TakeState:
    """One take so far: its job, its file, its score, or why there is none.

    `left`: how its absence leaves the shot.
    """

    number: int
    key: str
    job: Job | None = None
    asset: Asset | None = None
    thumbnail: Asset | None = None
    others: tuple[Asset, ...] = ()
    score: FrameScore | None = None
    gate: str | None = None
    failure: Failure | None = None
    left: ShotOutcome | None = None


@dataclass
class ClipState:
    """One clip so far; `take` is None when it is made of text alone.

    `step`: how often it was made longer; `source` is the job of the clip before it then. `variant` is its number among
    the clips of its frame; of several, one is `chosen`, and `why`.
    """

    take: int | None
    key: str
    step: int = 0
    source: Job | None = None
    variant: int = 1
    job: Job | None = None
    asset: Asset | None = None
    poster: Asset | None = None
    others: tuple[Asset, ...] = ()
    failure: Failure | None = None
    score: FrameScore | None = None
    rank: float | None = None
    chosen: bool = False
    why: str = ""


@dataclass
class CutState:
    """One cut of a clip so far.

    For which platform, and how it was made once it is there.
    """

    platform: PlatformSpec
    take: int | None
    finish: Finish = field(default_factory=Finish)
    making: CutMaking = field(default_factory=CutMaking)
    asset: Asset | None = None
    poster: Asset | None = None
    signed: bool = False
    failure: Failure | None = None

    @property
    def spec(self) -> str:
        """Return the name of the platform."""
        return self.platform.name


@dataclass
class ShotState:
    """Everything the steps have made of one shot, and what went wrong.

    `postponed` is how the shot stands at its end although the steps go on with a part of it. `stopped_by` is what kept
    the last step from its end although another try may help. `beginnings` are the clips that are made longer, or not
    chosen of several, `clips` those that are finished. `archived`: its sidecar is written. `intended`: the keys of
    clips that may be sent any moment, as the sidecar tells. `is_over`: this process is done with the shot; `moves`
    counts what became of it so far, and `moved` wakes those who wait for that.
    """

    shot: Shot
    takes: dict[int, TakeState] = field(default_factory=dict)
    choice: Choice | None = None
    clips: list[ClipState] = field(default_factory=list)
    beginnings: list[ClipState] = field(default_factory=list)
    cuts: list[CutState] = field(default_factory=list)
    decisions: tuple[FrameDecision, ...] = ()
    pin: FramePin | None = None
    pins: tuple[FramePin, ...] = ()
    failures: list[Failure] = field(default_factory=list)
    ended: ShotOutcome | None = None
    postponed: ShotOutcome | None = None
    stopped_by: CallsheetError | None = None
    archived: bool = False
    intended: set[str] = field(default_factory=set)
    is_over: bool = False
    moves: int = 0
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def going(self) -> bool:
        """Return whether the next step has something to do.

        No step has ended the shot early.
        """
        return self.ended is None

    def frames(self) -> list[int | None]:
        """Return the takes to animate, by number; [None] for a clip made of text alone."""
        if self.shot.takes == 0:
            return [None]
        return list(self.choice.chosen) if self.choice else []

    def frame_sha256(self, take: int) -> str | None:
        """Return the sha256 of the picture that is animated, also when its file is lost."""
        asset = self.takes[take].asset
        return asset.sha256 if asset else self.pin.sha256 if self.pin and self.pin.take == take else None

    def move(self) -> None:
        """Wake those who wait for something of this shot: there is news."""
        self.moves += 1
        self.moved.set()
        self.moved.clear()

    def fail(self, failure: Failure, state: ShotOutcome) -> None:
        """Record why the shot cannot go on; the first such state stays."""
        self.failures.append(failure)
        self.ended = self.ended or state

    def failures_of_all(self) -> list[Failure]:
        """Every failure of the shot and of its parts, in the order of the steps."""
        parts: list[TakeState | ClipState | CutState] = [
            *self.takes.values(),
            *self.beginnings,
            *self.clips,
            *self.cuts,
        ]
        found = [part.failure for part in parts if part.failure] + self.failures
        return list(dict.fromkeys(found))


# What goes on by itself comes before what waits for a person, and that before what is over.
_MOST_OPEN = (ShotOutcome.PENDING, ShotOutcome.PARKED, ShotOutcome.WAITING)


def most_open(states: Iterable[ShotOutcome | None]) -> ShotOutcome | None:
    """Return the state of a shot whose parts are left like these.

    The one with most still to come, else the first.
    """
    found = [state for state in states if state is not None]
    return next((state for state in _MOST_OPEN if state in found), found[0] if found else None)


_STATE_OF_JOB: dict[JobState, ShotOutcome] = {
    JobState.BLOCKED: ShotOutcome.BLOCKED,
    JobState.UNKNOWN: ShotOutcome.WAITING,
}


def state_after(job: Job) -> ShotOutcome:
    """Return the state of a shot whose needed job ended like this."""
    if job.state is JobState.PLANNED and job.parked_until is not None:
        return ShotOutcome.PARKED
    return _STATE_OF_JOB.get(job.state, ShotOutcome.FAILED)


def failure_of_job(step: str, job: Job, slot: str) -> Failure:
    """Return why a job gave nothing, in the words that the ledger kept."""
    return Failure(
        step, job.reason_kind or job.state.value, job.reason or "No reason was given.", job.reason_code or "", slot
    )


def failure_of(step: str, error: CallsheetError, slot: str = "") -> Failure:
    """Return why a step gave nothing, from its error."""
    reason = error.reason if isinstance(error, ProviderError) else ""
    return Failure(step, type(error).__name__, str(error), reason, slot)


def state_of(error: CallsheetError) -> ShotOutcome:
    """Return the state of a shot that an error stopped."""
    if isinstance(error, Stopped):
        return ShotOutcome.PENDING
    if isinstance(error, NotApproved | ParentStuck):
        return ShotOutcome.WAITING
    # What is paid for and still submitted is looked after by the next run, as what is parked is.
    goes_on = isinstance(error, Parked | ParentAwaited | OperationOverdue | OperationWithheld | DownloadFailed)
    return ShotOutcome.PARKED if goes_on else ShotOutcome.FAILED


def is_transient(error: CallsheetError) -> bool:
    """Return whether the whole step is worth trying again.

    Archive or ledger did not answer as they should.

    Trying again costs nothing, for what was paid for is in the ledger.
    """
    return isinstance(error, ArchiveError | LedgerError) and not isinstance(
        error, ArchiveConflict | ArchiveDenied | ArchiveLost
    )
