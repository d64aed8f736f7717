"""`select: approve`: nothing is animated before a person says so, what they say is kept, and it is paid for once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from callsheet.approval.record import Decided, decide, questions
from callsheet.approval.wish import Wish, wishes_in
from callsheet.archive.store import open_archive
from callsheet.clock import Clock
from callsheet.errors import DecisionError
from callsheet.ledger import JobState, Ledger
from callsheet.providers.routes import scope_of
from callsheet.run import RunRequest
from callsheet.settings import Settings, load_settings
from callsheet.steps.carry_on import resumable
from callsheet.steps.rebuild import rebuild
from callsheet.steps.report import Report
from tests.conftest import Service, start_service
from tests.whole_batch import whole_batch

BATCH = "sheet.rehearsal"
HEAD = "id,prompt,takes,seed,select,motion_prompt,duration_s\n"
KITE = "kite,A kite over dunes,2,5,approve,It climbs,4\n"
CUP = "cup,A hand-thrown cup,1,8,,,\n"


@pytest.fixture(scope="module")
def made_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_service(tmp_path_factory.mktemp("service") / "state", factor=600, latency={"image": 0, "video": 20})
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


@dataclass
class Team:
    """A folder with a manifest and a home, at the service that all tests share."""

    folder: Path
    service: Service

    @property
    def settings(self) -> Settings:
        return load_settings(home=self.folder / "home", gemini_base_url=self.service.url)

    async def run(self, rows: str = KITE) -> Report:
        (self.folder / "sheet.csv").write_text(HEAD + rows)
        return await whole_batch(RunRequest(str(self.folder / "sheet.csv")), self.settings)

    async def say(self, *words: str, by: str = "Ada") -> Decided:
        return await decide(self.settings, BATCH, wishes_in(words), by)

    def sidecar(self, shot: str = "kite") -> dict[str, Any]:
        path = self.folder / f"home/archive/sheet/{BATCH}/shots/{shot}/shot.json"
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def hashes(self) -> dict[int, str]:
        return {take["take"]: take["file"]["sha256"] for take in self.sidecar()["takes"]}

    async def clips(self) -> list[tuple[str, str]]:
        """The slot and first frame of every video that was sent."""
        async with await Ledger.open(self.settings.ledger_url, clock=Clock()) as ledger:
            jobs = await ledger.jobs_of(BATCH)
        return [(job.slot, job.request["inputs"][0]) for job in jobs if job.kind == "video" and job.attempts]


@pytest.fixture
def team(tmp_path: Path, made_service: Service) -> Team:
    return Team(tmp_path, made_service)


async def test_a_shot_waits_with_its_takes_and_the_others_go_on(team: Team) -> None:
    ended = await team.run(KITE + CUP)
    assert ended.exit_code == 5
    assert ended.summary["shots"] == {"total": 2, "done": 1, "blocked": 0, "failed": 0, "parked": 0, "waiting": 1}
    assert ended.summary["waiting_for"] == {"approval": 1, "resolve": 0}
    assert ended.summary["submissions"] == {"image": 3, "video": 0}
    [asked] = (await questions(team.settings, BATCH)).waiting
    assert (asked.shot, [one.take for one in asked.candidates]) == ("kite", [1, 2])
    assert all(Path(one.uri).is_file() and one.rank is not None for one in asked.candidates)
    again = await team.run(KITE + CUP)
    assert (again.exit_code, again.summary["submissions"]) == (5, {"image": 0, "video": 0})
