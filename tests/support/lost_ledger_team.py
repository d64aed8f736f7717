"""A live batch of a team whose people have ledgers of their own and share an archive."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.support.cli import Cli, Ran
from tests.support.service import Service

SHEET = """id,prompt,takes,seed,motion_prompt,duration_s,cuts
harbour,A harbour at first light,2,7,The boats drift in,4,16x9
cup,A hand-thrown cup,1,8,,,
"""


class Team:
    """The live batch of a team, whose people have ledgers of their own and share an archive."""

    def __init__(self, cli: Cli, service: Service) -> None:
        self.cli, self.service = cli, service
        (cli.folder / "sheet.csv").write_text(SHEET)
        self.env = {
            "GEMINI_API_KEY": "dummy-key-1",
            "CALLSHEET_AGENT_PLATFORM_API_KEY": "dummy-key-2",
            "GOOGLE_GEMINI_BASE_URL": service.url,
            "GOOGLE_VERTEX_BASE_URL": service.url,
            "CALLSHEET_ARCHIVE": str(cli.folder / "shared"),
        }

    @property
    def batch(self) -> Path:
        return self.cli.folder / "shared" / "sheet" / "sheet.live"

    def __call__(self, home: str, *args: str, **env: str) -> Ran:
        return self.cli(*args, **{**self.env, "CALLSHEET_HOME": str(self.cli.folder / home), **env})

    def run(self, home: str, *args: str, **env: str) -> Ran:
        return self(home, "run", "sheet.csv", "--live", "--yes", "--json", *args, **env)

    def die(self, home: str, moment: str, **env: str) -> None:
        """A live run at this home, killed at a moment of `tests.support.whole_batch`."""
        alive, self.cli.main = self.cli.main, "tests.support.whole_batch:mortal_command"
        ended = self.run(home, **env, MOMENT=moment)
        self.cli.main = alive
        assert ended.exit_code == -9, ended.stderr

    def accepted(self) -> dict[str, int]:
        found: dict[str, int] = self.service.counts()["accepted"]
        return found

    def sidecar(self, shot: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.batch / "shots" / shot / "shot.json").read_text())
        return found

    def lose_ledger(self, home: str) -> None:
        for path in (self.cli.folder / home).glob("ledger.db*"):
            path.unlink()
        shutil.rmtree(self.cli.folder / home / "spool", ignore_errors=True)
