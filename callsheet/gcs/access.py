"""How buckets are reached: with whose rights, and how long a request is tried.

The rights are a value, from what the settings say; nothing is opened. Retries are bounded by pauses, by a number of
failures, and by time; what leaves an effect in doubt is an error of its own.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from callsheet.errors import ArchiveError
from callsheet.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GoogleAccess:
    """The way to the buckets: an emulator without credentials, or Google with them.

    `credentials_file` comes before what Google's libraries find by themselves; `impersonate` is the service account
    whose rights are used instead of one's own. `payer` is the project that pays for buckets which ask for one.
    """

    emulator_host: str | None = None
    credentials_file: Path | None = None
    impersonate: str | None = None
    payer: str | None = None

    @property
    def endpoint(self) -> str | None:
        """The emulator's base URL; None for Google."""
        host = self.emulator_host
        return (host if "://" in host else f"http://{host}").rstrip("/") if host else None


def access_of(settings: Settings) -> GoogleAccess:
    """Return the access to buckets that the settings describe."""
    return GoogleAccess(
        settings.storage_emulator_host,
        settings.google_application_credentials,
        settings.impersonate_service_account,
        settings.storage_project or settings.google_cloud_project,
    )


class WriteInDoubt(Exception):
    """The request may or may not have had its effect; a look at the object shows."""


class Stalled(WriteInDoubt):
    """The transfer is slower than is waited for."""


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """The waiting times of an operation, in seconds.

    Nothing is waited for longer than `stall_s` without 256 KiB passing. An operation is given up after `attempts`
    failures in a row without progress, or at the first failure later than `give_up_s` after the trouble began. Pauses
    double from `pause_s` to `longest_pause_s` and are drawn at random.
    """

    stall_s: float = 60.0
    attempts: int = 8
    give_up_s: float = 180.0
    pause_s: float = 0.5
    longest_pause_s: float = 20.0

    def pause(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row."""
        return random.uniform(0, min(self.longest_pause_s, self.pause_s * 2**failures))  # noqa: S311  no secret


class Outage:
    """A time in which a server gives nothing but failures.

    An operation begun during it does not wait as long again.
    """

    def __init__(self) -> None:
        self._since: float | None = None

    def failed(self) -> None:
        """Record that a request failed in a way that another one may too."""
        self._since = self._since or time.monotonic()

    def answered(self) -> None:
        """Record that the server answered a request."""
        self._since = None

    @property
    def seconds(self) -> float:
        """Return how many seconds it has lasted by now."""
        return time.monotonic() - self._since if self._since else 0.0


class RetryLoop:
    """The attempts of one operation on `where`.

    They end when one succeeds or patience is at its end.
    """

    def __init__(self, where: str, patience: RetryLimits, outage: Outage) -> None:
        self._where = where
        self._patience = patience
        self._outage = outage
        self._begun = time.monotonic()
        self._failures = 0
        self._first_failure = 0.0

    async def of(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what `attempt` returns, repeating it while it raises Doubt.

        Raises ArchiveError when patience is at its end.
        """
        while True:
            try:
                return await attempt()
            except WriteInDoubt as doubt:
                self._count_failure()
                if self._is_over():
                    raise self._give_up(doubt) from doubt
            await asyncio.sleep(self._patience.pause(self._failures))

    def progress(self) -> None:
        """Record that something lasting was achieved: failures count from zero again."""
        self._failures = 0

    def _count_failure(self) -> None:
        if not self._failures:
            self._first_failure = time.monotonic()
        self._failures += 1

    def _is_over(self) -> bool:
        failing = max(time.monotonic() - self._first_failure, self._outage.seconds)
        return self._failures >= self._patience.attempts or failing > self._patience.give_up_s

    def _give_up(self, doubt: WriteInDoubt) -> ArchiveError:
        last = str(doubt).rstrip(".")
        tries = "1 attempt" if self._failures == 1 else f"{self._failures} attempts"
        return ArchiveError(
            f"{self._where}: gave up after {tries} in {time.monotonic() - self._begun:.0f} s; the last one: {last}. "
            "Local files are untouched; run again."
        )
