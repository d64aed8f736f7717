"""Checks side by side, what they found, and whether anything has to be done.

Each runs to its end or to a deadline that holds whatever hangs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from callsheet.errors import CallsheetError
from callsheet.exit_codes import ExitCode
from callsheet.shots import Mode

LIVE: tuple[Mode, ...] = ("live",)
# The name of the line about the ledger.
LEDGER = "ledger"
BOTH: tuple[Mode, ...] = ("rehearsal", "live")


class Health(StrEnum):
    """How things stand with one of the things that were looked at."""

    #: Nothing to do.
    OK = "ok"
    #: Worth knowing; runs work all the same.
    NOTE = "note"
    #: Runs fail, or are refused, until somebody has corrected it.
    MEND = "mend"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found, in a sentence, and in another one what to do about it.

    `stops` are the runs that fail until it is corrected; it counts for MEND only.
    """

    name: str
    health: Health
    text: str
    advice: str = ""
    stops: tuple[Mode, ...] = LIVE

    def as_json(self) -> dict[str, Any]:
        """Return what `doctor --json` prints of it."""
        stops = list(self.stops) if self.health is Health.MEND else []
        return {"name": self.name, "status": self.health, "found": self.text, "advice": self.advice, "stops": stops}


def is_ready(found: Iterable[Diagnosis], mode: Mode) -> bool:
    """Return whether nothing that was found stops the runs of a mode."""
    return not any(one.health is Health.MEND and mode in one.stops for one in found)


def exit_code_of(found: Iterable[Diagnosis]) -> ExitCode:
    """Return USAGE when something has to be corrected, else DONE."""
    return ExitCode.USAGE if any(one.health is Health.MEND for one in found) else ExitCode.DONE


@dataclass(frozen=True, slots=True)
class Examination:
    """Something to look at: its name, how it is looked at, and which runs need it."""

    name: str
    run: Callable[[], Coroutine[Any, Any, Sequence[Diagnosis]]]
    stops: tuple[Mode, ...] = LIVE
    #: What to do when it does not end in time.
    if_late: str = ""


@dataclass(slots=True)
class _RunningCheck:
    """One that runs in a thread of its own.

    A disk or a look-up that hangs holds nobody else.
    """

    what: Examination
    found: Sequence[Diagnosis] | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"doctor {self.what.name}", daemon=True).start()

    def _run(self) -> None:
        try:
            self.found = asyncio.run(_keep_errors(self.what))
        finally:
            self.ended.set()

    def wait(self, seconds: float, within_s: float) -> Sequence[Diagnosis]:
        self.ended.wait(max(0.0, seconds))
        if self.found is not None:
            return self.found
        text = f"No answer within {within_s:g} s."
        return [Diagnosis(self.what.name, Health.MEND, text, self.what.if_late, self.what.stops)]


def examine(all_of_it: Sequence[Examination], within_s: float) -> tuple[list[Diagnosis], bool]:
    """Look at everything side by side, until a deadline.

    What has not ended within `within_s` is told so. Returns what was found, in the order given, and whether all of it
    ended: else threads are left that hang, which a process should not wait for.
    """
    give_up = time.monotonic() + within_s
    running = [_RunningCheck(one) for one in all_of_it]
    for one in running:
        one.start()
    found = [each for one in running for each in one.wait(give_up - time.monotonic(), within_s)]
    return found, all(one.ended.is_set() for one in running)


async def _keep_errors(what: Examination) -> Sequence[Diagnosis]:
    """Return what was found; an error is a finding too."""
    try:
        return await what.run()
    except CallsheetError as error:
        return [Diagnosis(what.name, Health.MEND, " ".join(str(error).split()), stops=what.stops)]
    except Exception as error:
        text = f"An error of callsheet's own: {type(error).__name__}: {' '.join(str(error)[:300].split())}"
        return [Diagnosis(what.name, Health.MEND, text, "Please report it.", what.stops)]
