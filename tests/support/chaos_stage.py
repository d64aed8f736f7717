"""Where chaos happens: a home with its own ledger, archive and service, and all that befalls it but the kills."""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from callsheet.ledger import Job, JobState
from tests.support.bent_videos import real_name
from tests.support.chaos_books import Book, forgotten, lost_requests, read_book
from tests.support.cli import Cli, Ran, kill
from tests.support.service import Service, start_service

ROUNDS = 60
REFUSED, UNFINISHED, PARKED, WAITING = 2, 3, 4, 5
BENT = "tests.support.bent_service:main"
DAY = timedelta(days=1)
# No life of a process is longer than this before it is ended, seconds after its first request.
LONGEST_LIFE_S = 2.5


@dataclass
class Stage:
    """A home with its own ledger and archive, and its own service, which keeps its clock and its books in `place`."""

    cli: Cli
    place: Path
    settings: dict[str, Any]
    live: bool
    service: Service = field(init=False)
    decisions: int = 0
    evidence: int = 0
    days: int = 0
    rebuilt: int = 0
    visits: list[int] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    lost: set[tuple[str, int]] = field(default_factory=set)
    codes: list[int] = field(default_factory=list)
    last: Ran | None = None

    def __post_init__(self) -> None:
        self.service = start_service(self.place, main=BENT, **self.settings)

    @property
    def env(self) -> dict[str, str]:
        # Live, videos go over the Gemini API, as behind a gateway; in a rehearsal over Agent Platform.
        return ({"GEMINI_API_KEY": "one-key"} if self.live else {}) | {
            "GOOGLE_GEMINI_BASE_URL": self.service.url,
            "GOOGLE_VERTEX_BASE_URL": self.service.url,
            "CALLSHEET_TIER": "3",
            "CALLSHEET_IMAGE_CONCURRENCY": "4",
            "CALLSHEET_VIDEO_CONCURRENCY": "4",
        }

    @property
    def command(self) -> list[str]:
        return ["run", "sheet.csv", "--json", *(["--live", "--yes"] if self.live else [])]

    @property
    def colleague(self) -> Cli:
        """A colleague with a ledger of their own, who runs the same sheet into the same archive."""
        folder = self.cli.folder / "colleague"
        if not folder.exists():
            folder.mkdir()
            shutil.copy(self.cli.folder / "sheet.csv", folder)
        env = {**self.cli.env, "CALLSHEET_ARCHIVE": str(self.cli.home / "archive")}
        return replace(self.cli, folder=folder, env=env)

    def run(self) -> Ran:
        """Run the batch to its end: days turn, a person decides what is in doubt, and it is run again."""
        for _ in range(ROUNDS):
            self.last = ran = self.cli(*self.command, timeout_s=600, **self.env)
            self.codes.append(ran.exit_code)
            if not self.attend(ran.exit_code):
                return ran
        raise AssertionError(f"the batch does not end: {self.codes}\n{ran.stderr[-4000:]}")

    def attend(self, code: int) -> bool:
        """Do what a run that ended with this code asks for; whether it has to be run again."""
        if code == PARKED:
            self.turn_day()
            self.lose_ledger()
            return True
        decided = self.decide() if code in (UNFINISHED, WAITING) else 0
        return decided > 0 or code == WAITING

    def decide(self) -> int:
        """Do what a person does: look into the provider's books, adopt what was accepted, send the rest again.

        Pictures of which only a part came are among them. Returns how many were decided.
        """
        listed = self.cli("resolve", "--no-look", "--json", **self.env).json["jobs"]
        submissions = self.service.counts()["submissions"]
        for job in listed:
            jobs = asyncio.run(read_book(self.cli.home)).jobs
            asked = next(one for one in jobs if one.key == job["key"])
            lost = _lost_operations(asked, jobs, submissions)
            decision = ["--adopt", lost[-1]] if lost else ["--resubmit"]
            assert self.cli("resolve", job["key"], *decision, **self.env).exit_code == 0
            self.evidence += asked.state is JobState.FAILED
            self.decisions += asked.state is not JobState.FAILED
        return len(listed)

    def turn_day(self) -> None:
        """Let the provider's day turn: its service is started again with a clock that is a day on."""
        if self.live:
            time.sleep(1)
            return
        self.stop()
        with closing(sqlite3.connect(self.place / "rehearsal.db")) as state, state:
            facts = dict(state.execute("SELECT name, value FROM facts"))
            # Service time is origin + (real - origin) * factor.
            earlier = DAY / (float(facts["factor"]) - 1)
            for name, by in (("origin", -earlier), ("noted", DAY)):
                moved = datetime.fromisoformat(facts[name]) + by
                state.execute("UPDATE facts SET value = ? WHERE name = ?", (moved.isoformat(), name))
        self.service = start_service(self.place, main=BENT, **self.settings)
        self.days += 1

    def note(self) -> Book:
        """Note which requests of all ledgers were lost; returns the home's own ledger."""
        own = asyncio.run(read_book(self.cli.home))
        for book in (own, asyncio.run(read_book(self.colleague.home))):
            self.lost |= lost_requests(book)
        return own

    def lose_ledger(self) -> None:
        """Lose the ledger; have a ledger made of what the archive tells. What only the old one knew is noted."""
        known = self.note()
        for path in self.cli.home.glob("ledger.db*"):
            path.unlink()
        rebuilt = self.cli("ledger", "rebuild", "--json", **self.env)
        assert rebuilt.exit_code == 0, rebuilt.stdout + rebuilt.stderr
        self.forgotten += forgotten(known, asyncio.run(read_book(self.cli.home)))
        self.rebuilt += 1

    def let_live(self, process: Any, requests: int, more_s: float) -> None:
        """Let a process live until it has sent some requests, or for LONGEST_LIFE_S after the first."""
        before, begun = self.service.seen(), 0.0
        while process.poll() is None and self.service.seen() < before + requests:
            if begun and time.monotonic() > begun:
                break
            if not begun and self.service.seen() > before:
                begun = time.monotonic() + LONGEST_LIFE_S
            time.sleep(0.03)
        time.sleep(more_s)

    def visit(self, moments: random.Random) -> None:
        """Have the colleague run the batch for a while, and pay where the rules allow it; then they leave cleanly.

        Live, they are sometimes killed first. Meanwhile nobody else may go on.
        """
        if self.live and moments.random() < 0.3:
            process = self._colleague_starts(moments)
            if process.poll() is None:
                kill(process)
                self.codes.append(self.cli(*self.command, timeout_s=600, **self.env).exit_code)
        process = self._colleague_starts(moments)
        self.stop_cleanly(process)
        self.visits.append(process.returncode)
        self.note()

    def knock(self) -> None:
        """Have the colleague try while a killed run's claim may stand: live, nothing of theirs is sent then."""
        accepted = sum(self.service.counts()["accepted"].values())
        free = [] if self.live else ["--free"]
        ran = self.colleague(*self.command, *free, timeout_s=600, **self.env)
        assert "Traceback" not in ran.stderr, ran.stderr
        self.visits.append(ran.exit_code)
        paid = sum(self.service.counts()["accepted"].values()) - accepted
        assert not paid or (self.live and ran.exit_code != REFUSED), ran.stderr

    def farewell(self) -> Ran:
        """Have the colleague run the finished batch."""
        ran = self.colleague(*self.command, timeout_s=600, **self.env)
        self.visits.append(ran.exit_code)
        return ran

    def _colleague_starts(self, moments: random.Random) -> Any:
        process = self.colleague.start(*self.command, **self.env)
        self.let_live(process, moments.randint(1, 6), moments.uniform(0.0, 0.4))
        return process

    def stop_cleanly(self, process: Any) -> None:
        """Ctrl-C: what was sent is let finish and put on record."""
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=240)
        assert "Traceback" not in stderr, stderr

    def stop(self) -> None:
        """End the service."""
        self.service.process.terminate()
        self.service.process.wait(timeout=120)


def _lost_operations(asked: Job, jobs: tuple[Job, ...], submissions: list[dict[str, Any]]) -> list[str]:
    """The operations that the provider has for what a job asked, and that no job is known to wait for."""
    prompt = hashlib.sha256(asked.request["prompt"].encode()).hexdigest()
    known = {real_name(one.operation) for one in jobs}
    made = [s["operation"] for s in submissions if s["prompt_sha256"] == prompt and s["operation"]]
    return [operation for operation in made if operation not in known]
