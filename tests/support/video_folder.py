"""A folder with one sheet of videos: its batch is planned and run in this process, against one service a module."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from callsheet.archive.open import open_archive
from callsheet.batch.planning import make_plan
from callsheet.batch.prepare import prepare_run
from callsheet.batch.request import RunRequest
from callsheet.clock import Clock
from callsheet.ledger import Ledger
from callsheet.settings import Settings
from tests.support.forked import Forge
from tests.support.service import Service
from tests.support.whole_batch import whole_batch


@dataclass
class VideoFolder:
    """A folder with a manifest, and the ledger, archive and service of its batch."""

    place: Path
    settings: Settings
    service: Service
    header: str

    @property
    def request(self) -> RunRequest:
        return RunRequest(str(self.place / "sheet.csv"))

    @property
    def archive(self) -> Path:
        return Path(self.settings.archive_uri) / "sheet" / "sheet.rehearsal"

    def write(self, *rows: str) -> None:
        (self.place / "sheet.csv").write_text(self.header + "".join(rows))

    def run(self, **other: Any) -> dict[str, Any]:
        return dict(asyncio.run(whole_batch(replace(self.request, **other), self.settings)).summary)

    def plan_json(self) -> dict[str, Any]:
        async def read() -> dict[str, Any]:
            asked = await prepare_run(self.request, self.settings)
            async with await Ledger.open(self.settings.ledger_url, clock=Clock()) as ledger:
                plan, _ = await make_plan(asked, ledger, open_archive(self.settings), Clock())
            return plan.as_json()

        return asyncio.run(read())

    def plan(self) -> dict[str, list[tuple[str, str, str, float]]]:
        """The plan of each shot's clips: slot, what, why, USD."""
        return {
            shot["shot"]: [(a["slot"], a["what"], a["why"], a["usd"]) for a in shot["actions"] if a["kind"] == "video"]
            for shot in self.plan_json()["shots"]
        }

    def sidecar(self, shot: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.archive / "shots" / shot / "shot.json").read_text())
        return found

    def chain(self, shot: str) -> list[dict[str, Any]]:
        """The clips of a shot that has one: those that were made longer, and the one that it ends in."""
        told = self.sidecar(shot)
        return [*told["beginnings"], *told["clips"]]

    def start(self, forge: Forge, moment: str, **other: str) -> Any:
        """Begin a run in a process of its own, which is killed at the moment; `other` are settings of it."""
        given = {"home": str(self.settings.home), "gemini_base_url": self.service.url, "tier": 3, **other}
        args = [json.dumps(given), str(self.place / "sheet.csv"), moment, "folder"]
        return forge.start(args, self.place, dict(os.environ), "tests.support.whole_batch:main")

    def lose_ledger(self) -> None:
        for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
            (self.settings.home / name).unlink(missing_ok=True)

    def accepted(self) -> int:
        return int(self.service.counts()["accepted"]["video"])

    def rows(self) -> dict[str, tuple[str, str]]:
        async def read() -> dict[str, tuple[str, str]]:
            async with await Ledger.open(self.settings.ledger_url, clock=Clock()) as ledger:
                rows = await ledger.shots_of("sheet.rehearsal")
                return {one.shot: (one.state.value, one.reason) for one in rows}

        return asyncio.run(read())
