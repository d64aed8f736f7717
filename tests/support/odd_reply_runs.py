"""A whole live batch against a server with odd replies, and what became of its jobs."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from callsheet.batch.request import RunRequest
from callsheet.clock import Clock
from callsheet.ledger import Job, Ledger
from callsheet.settings import Settings, load_settings
from tests.support.odd_replies import GOOD
from tests.support.odd_server import Answers, OddServer, Wire, odd_server
from tests.support.whole_batch import whole_batch

ROUTES = ("Gemini API", "Agent Platform")

PRICE = Decimal("0.0336")

# With the nine tokens of its prompt, at $0.50 a million.
TOLD = Decimal("0.033604")

MODEL = "gemini-nano-banana-2.1"


def settings_for(home: Path, url: str, route: str = ROUTES[0]) -> Settings:
    given: dict[str, Any] = {"home": home, "image_timeout_s": 20.0, "tier": 3}
    if route == ROUTES[0]:
        given |= {"GOOGLE_API_KEY": "k-of-the-test", "GOOGLE_GEMINI_BASE_URL": url}
    else:
        given |= {"agent_platform_api_key": "k-of-the-test", "GOOGLE_VERTEX_BASE_URL": url}
    return load_settings(**given)


def sheet(folder: Path, names: list[str]) -> RunRequest:
    with (folder / "sheet.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "prompt", "image_model", "aspect_ratio"])
        writer.writerows([name, f"reply {name} of a cat", MODEL, "16:9"] for name in names)
    return RunRequest(str(folder / "sheet.csv"), live=True)


async def jobs_by_shot(settings: Settings) -> dict[str, Job]:
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        return {job.shot: job for job in await ledger.jobs_of("sheet.live")}


def good() -> Wire:
    return Wire(GOOD)


async def run(
    tmp_path: Path, answers: Mapping[str, Answers], route: str = ROUTES[0]
) -> tuple[OddServer, Any, Settings]:
    async with odd_server(answers, good) as server:
        settings = settings_for(tmp_path / "home", server.url, route)
        report = await whole_batch(sheet(tmp_path, list(answers)), settings)
    return server, report, settings


def sidecar(settings: Settings, shot: str) -> dict[str, Any]:
    path = Path(settings.archive_uri) / "sheet" / "sheet.live" / "shots" / shot / "shot.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found
