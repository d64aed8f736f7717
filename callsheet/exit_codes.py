"""The exit codes of commands and runs, and which one counts when several fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum

from callsheet.shots import ShotOutcome


class ExitCode(IntEnum):
    """The code that a command ends with; flows return it in their result."""

    #: Everything that was asked for is there.
    DONE = 0
    #: An error of callsheet's own, or work that was cut short: the same command goes on.
    INTERNAL = 1
    #: The manifest, the settings or the command line are not valid. Nothing was sent.
    USAGE = 2
    #: Everything has ended; some of it is blocked or failed, or could not be made.
    UNFINISHED = 3
    #: Something goes on later: parked for a quota, a budget or missing credentials, or still being made.
    PARKED = 4
    #: A person has to decide: takes to approve, or requests in doubt.
    WAITING = 5
    #: Ctrl-C.
    INTERRUPTED = 130


# What has to go on comes before what is over.
PRECEDENCE = (
    ExitCode.INTERRUPTED,
    ExitCode.INTERNAL,
    ExitCode.USAGE,
    ExitCode.PARKED,
    ExitCode.WAITING,
    ExitCode.UNFINISHED,
    ExitCode.DONE,
)

_OF_SHOT = {
    ShotOutcome.PENDING: ExitCode.INTERNAL,
    ShotOutcome.PARKED: ExitCode.PARKED,
    ShotOutcome.WAITING: ExitCode.WAITING,
    ShotOutcome.BLOCKED: ExitCode.UNFINISHED,
    ShotOutcome.FAILED: ExitCode.UNFINISHED,
    ShotOutcome.DONE: ExitCode.DONE,
}


def first_of(codes: Iterable[int]) -> ExitCode:
    """Return the code that counts among these; DONE when there are none."""
    return min((ExitCode(code) for code in codes), key=PRECEDENCE.index, default=ExitCode.DONE)


def code_of_shots(shots: Mapping[ShotOutcome, int], *, free: bool = False) -> ExitCode:
    """Return the exit code for shots in these states, by number.

    What a free run leaves pending goes on when the batch is started as usual.
    """
    codes = (_OF_SHOT[state] for state, count in shots.items() if count)
    return first_of(ExitCode.PARKED if free and code is ExitCode.INTERNAL else code for code in codes)
