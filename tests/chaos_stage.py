"""Where chaos happens: a home with its own ledger, archive and service, and all that befalls it but the kills."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from callsheet.clock import Clock
from callsheet.ledger import AttemptRecord, Job, JobState, Ledger
from tests.conftest import Cli, Ran, Service, start_service

ROUNDS = 60
UNFINISHED, PARKED, WAITING = 3, 4, 5
BENT = "tests.bent_service:main"
DAY = timedelta(days=1)


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
    refused: int = 0
    forgotten_usd: float = 0.0
    forgotten_doubts: int = 0
    codes: list[int] = field(default_factory=list)
    last: Ran | None = None

    def __post_init__(self) -> None:
        self.service = start_service(self.place, main=BENT, **self.settings)

    @property
    def env(self) -> dict[str, str]:
        keys = {"GEMINI_API_KEY": "one-key", "CALLSHEET_AGENT_PLATFORM_API_KEY": "other-key"} if self.live else {}
        return keys | {
            "GOOGLE_GEMINI_BASE_URL": self.service.url,
            "GOOGLE_VERTEX_BASE_URL": self.service.url,
            "CALLSHEET_TIER": "3",
            "CALLSHEET_IMAGE_CONCURRENCY": "4",
            "CALLSHEET_VIDEO_CONCURRENCY": "4",
        }

    @property
    def command(self) -> list[str]:
        return ["run", "sheet.csv", "--json", *(["--live", "--yes"] if self.live else [])]

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
            if not self.live:  # a live ledger that is lost is another story: what was in doubt is in no archive
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
            jobs = asyncio.run(ledger_of(self))[0]
            asked = next(one for one in jobs if one.key == job["key"])
            prompt = hashlib.sha256(asked.request["prompt"].encode()).hexdigest()
            adopted = {one.operation for one in jobs}
            made = [s["operation"] for s in submissions if s["prompt_sha256"] == prompt and s["operation"]]
            lost = [operation for operation in made if operation not in adopted]
            decision = ["--adopt", lost[-1]] if lost else ["--resubmit"]
            assert self.cli("resolve", job["key"], *decision, **self.env).exit_code == 0
            self.evidence += asked.state is JobState.FAILED
            self.decisions += asked.state is not JobState.FAILED
        return len(listed)

    def turn_day(self) -> None:
        """Let the provider's day turn: its service is started again with a clock that is a day on."""
        if self.live:
            time.sleep(5)
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

    def lose_ledger(self) -> None:
        """Lose the ledger; have a ledger made of what the archive tells. What only the old one knew is noted."""
        usd, doubts = asyncio.run(doubtful_money(self))
        for path in self.cli.home.glob("ledger.db*"):
            path.unlink()
        rebuilt = self.cli("ledger", "rebuild", "--json", **self.env)
        assert rebuilt.exit_code == 0, rebuilt.stdout + rebuilt.stderr
        usd_now, doubts_now = asyncio.run(doubtful_money(self))
        self.forgotten_usd += usd - usd_now
        self.forgotten_doubts += doubts - doubts_now
        self.rebuilt += 1

    def visit_from_another_home(self) -> None:
        """Have a colleague with a home of their own run the same batch in the same archive, and be gone."""
        other = replace(self.cli, folder=self.cli.folder / "colleague")
        other.folder.mkdir(exist_ok=True)
        shutil.copy(self.cli.folder / "sheet.csv", other.folder)
        archive = str(self.cli.home / "archive")
        ran = other(*self.command, "--free", **self.env, CALLSHEET_ARCHIVE=archive)
        assert "Traceback" not in ran.stderr, ran.stderr
        self.refused += ran.exit_code == 2

    def stop_cleanly(self, process: Any) -> None:
        """Ctrl-C: what was sent is let finish and put on record."""
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)

    def stop(self) -> None:
        """End the service."""
        self.service.process.terminate()
        self.service.process.wait(timeout=120)


async def ledger_of(stage: Stage) -> tuple[list[Job], list[AttemptRecord]]:
    """All jobs and attempts of the batch."""
    async with await Ledger.open(f"sqlite:///{stage.cli.home / 'ledger.db'}", clock=Clock()) as ledger:
        batches = [row.batch.name for row in await ledger.batches()]
        jobs = [job for batch in batches for job in await ledger.jobs_of(batch)]
        return jobs, [attempt for batch in batches for attempt in await ledger.attempts_of(batch)]


async def doubtful_money(stage: Stage) -> tuple[float, int]:
    """What the ledger says was spent (USD), and how many pictures' attempts are or were in doubt."""
    _, attempts = await ledger_of(stage)
    doubts = sum(1 for one in attempts if one.kind == "image" and one.outcome == JobState.UNKNOWN)
    return sum(float(one.usd) for one in attempts), doubts


async def shot_states(stage: Stage) -> dict[str, str]:
    """How the ledger says that the shots stand."""
    async with await Ledger.open(f"sqlite:///{stage.cli.home / 'ledger.db'}", clock=Clock()) as ledger:
        rows = [row for one in await ledger.batches() for row in await ledger.shots_of(one.batch.name)]
        return {row.shot: row.state.value for row in rows}


def files_of(stage: Stage) -> dict[str, list[str]]:
    """The names of all archived files but sidecars, by shot; a name carries its file's hash."""
    archive = stage.cli.home / "archive"
    found: dict[str, list[str]] = {}
    for path in sorted(archive.glob("*/*/shots/*/*")):
        if path.name != "shot.json":
            found.setdefault(path.parent.name, []).append(path.name)
    return found


def disagreements(stage: Stage, states: dict[str, str]) -> Sequence[str]:
    """Where sidecars, marker and the last run's summary say something else of the shots than the ledger does."""
    place = next((stage.cli.home / "archive").glob("*/*/_SUCCESS.json"))
    marker, sidecars = json.loads(place.read_text()), place.parent.glob("shots/*/shot.json")
    told = {one["shot"]: one["state"] for one in (json.loads(path.read_text()) for path in sidecars)}
    counted, unfinished = Counter(states.values()), {shot for shot, state in states.items() if state != "done"}
    summary = {state: count for state, count in (stage.last.json["shots"] if stage.last else {}).items() if count}
    summary.pop("total", None)
    checks = {
        "sidecars": told == states,
        "summary": summary == counted,
        "marker's counts": Counter(marker["shots"]) == Counter({"total": len(states)}) + counted,
        "marker's unfinished": set(marker["unfinished"]) == unfinished,
        "marker's status": marker["status"] == "finished",
    }
    return [
        f"{name}: {told} {summary} {marker['shots']}, ledger {states}" for name, holds in checks.items() if not holds
    ]
