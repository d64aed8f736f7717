"""What e65594f made stays made: it is reused, it goes on, and nothing of it is paid for again.

`made_before/e65594f/` holds a team's folder as that commit's own commands left it, and the state of the rehearsal
service that stood in for the provider; `made_before/make.py` made it and says how. The folder is unpacked somewhere
else than where it was made, as if it had been moved. `team.json` tells how each batch had ended, and every key.

Batches: `made` (every kind of column), `live` (the same live), `fog` (YAML, matrix, edition), `trouble` (blocked,
filtered, failed, expired), `doubt` (a picture and a clip in doubt), `submitted` (killed while a clip was made),
`parked` (a full day), `planned` (a plan file that nobody has run yet).
"""

from __future__ import annotations

import importlib
import inspect
import json
import shutil
import sqlite3
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from callsheet.batch.prepare import read_request
from callsheet.batch.request import RunRequest
from callsheet.clock import Clock
from callsheet.ledger import Ledger
from callsheet.ledger.database import HEAD
from callsheet.ledger.dialect import UtcTime
from callsheet.ledger.tables import metadata
from callsheet.plan.requests import clip_order, take_order
from callsheet.settings import load_settings
from tests.support.cli import Cli, Ran
from tests.support.service import Service, start_service

# Old cuts have the sizes that platforms take.
pytestmark = pytest.mark.usefixtures("full_size_cuts")

MADE = Path(__file__).parent / "made_before" / "e65594f"
ACCOUNT: dict[str, Any] = json.loads((MADE / "team.json").read_text())
BATCHES: dict[str, dict[str, Any]] = ACCOUNT["batches"]
# Batches in which a run has nothing to do, and those in which some shots were refused or failed.
ENDED = ("made.rehearsal", "live.live", "fog.2026-11-21.rehearsal")
TROUBLE = ("trouble.rehearsal", "trouble.live")
KEYS = {"GEMINI_API_KEY": "one-key", "CALLSHEET_AGENT_PLATFORM_API_KEY": "other-key"}
PAID = ("generateContent", "predictLongRunning")


@dataclass
class Team:
    """The team's folder, moved, and its provider."""

    cli: Cli
    service: Service

    def command(self, *args: str, live: bool = False) -> Ran:
        urls = {"GOOGLE_GEMINI_BASE_URL": self.service.url, "GOOGLE_VERTEX_BASE_URL": self.service.url}
        ran = self.cli(*args, **urls, **(KEYS if live else {}))
        assert "Traceback" not in ran.stderr, ran.stderr
        return ran

    def run(self, batch: str, *more: str) -> Ran:
        """Run a batch as it was run then."""
        asked = BATCHES[batch]
        return self.command("run", asked["sheet"], *asked["args"], *more, "--json", live=asked["live"])

    def sent(self) -> list[str]:
        """What the provider has accepted so far, and how many requests that may cost something have come."""
        counts = self.service.counts()
        paid = {name: number for name, number in counts["requests"].items() if name in PAID}
        return [f"{one['kind']} {one['prompt_sha256']}" for one in counts["submissions"]] + [str(paid)]

    def archived(self) -> dict[str, int]:
        """The files of the shots, with when they were last changed."""
        archive = self.cli.home / "archive"
        files = archive.glob("*/*/shots/*/*")
        return {str(path.relative_to(archive)): path.stat().st_mtime_ns for path in files if path.suffix != ".json"}

    def states(self, batch: str) -> Counter[str]:
        with closing(sqlite3.connect(self.cli.home / "ledger.db")) as ledger:
            return Counter(row[0] for row in ledger.execute("SELECT state FROM jobs WHERE batch = ?", (batch,)))


@pytest.fixture
def unpacked(lean_cli: Cli, tmp_path: Path) -> Cli:
    with tarfile.open(MADE / "team.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    assert lean_cli.folder == tmp_path / "team"
    return lean_cli


def served(cli: Cli, factor: float = 60) -> Service:
    state = cli.folder.parent / "service"
    return start_service(state, factor=factor, latency={"image": 0, "video": 20}, retention_s=400 * 86400)


@pytest.fixture
def team(unpacked: Cli) -> Iterator[Team]:
    service = served(unpacked)
    yield Team(unpacked, service)
    service.process.terminate()
    service.process.wait(timeout=20)


@pytest.fixture
def later_team(unpacked: Cli) -> Iterator[Team]:
    """The same two months later: what was live is as old as that, and a rehearsal's day turns in two seconds."""
    age(unpacked.home / "ledger.db", days=60)
    service = served(unpacked, factor=40_000)
    yield Team(unpacked, service)
    service.process.terminate()
    service.process.wait(timeout=20)


def age(ledger: Path, days: int) -> None:
    """Make the live rows of a ledger older; rehearsals have a clock of their own, which stands still between runs."""
    passed = days * 86400 * 10**6
    with closing(sqlite3.connect(ledger)) as opened, opened:
        for table in metadata.sorted_tables:
            there = {row[1] for row in opened.execute(f"PRAGMA table_info({table.name})")}
            live = next(
                (f"{name} NOT LIKE '%rehearsal%'" for name in ("mode", "scope", "batch") if name in there), None
            )
            for column in table.columns:
                if live and column.name in there and isinstance(column.type, UtcTime):
                    older = f"{column.name} = {column.name} - {passed}"
                    opened.execute(f"UPDATE {table.name} SET {older} WHERE {live}")  # noqa: S608


def test_the_keys_of_old_sheets_are_what_they_were(unpacked: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(unpacked.folder)
    with closing(sqlite3.connect(unpacked.home / "ledger.db")) as ledger:
        made = dict(ledger.execute("SELECT key, sha256 FROM jobs"))
    keys: dict[str, str] = {}
    for name, asked in BATCHES.items():
        sheet = read_request(request_of(asked), load_settings(home=unpacked.home))
        batch = sheet.batch
        assert batch.name == name
        for shot in sheet.shots:
            takes = {take: take_order(batch, shot, take) for take in range(1, shot.takes + 1)}
            orders = list(takes.values())
            if shot.motion_prompt:
                frames = [(take, made[order.key]) for take, order in takes.items() if made.get(order.key)]
                orders += [clip_order(batch, shot, take, frame) for take, frame in frames or [(None, None)]]
            keys |= {f"{name}/{order.shot}/{order.slot}": order.key for order in orders}
    recorded = {place: key for place, key in ACCOUNT["keys"].items() if not place.rpartition("/")[2].startswith("look")}
    assert {place: keys.get(place) for place in recorded} == recorded
    assert len(recorded) == 64


def request_of(asked: dict[str, Any]) -> RunRequest:
    args = dict(zip(asked["args"][::2], asked["args"][1::2], strict=True)) if not asked["live"] else {}
    variables = dict([args["--var"].split("=", 1)]) if "--var" in args else {}
    return RunRequest(asked["sheet"], live=asked["live"], edition=args.get("--edition"), variables=variables)


async def test_an_old_ledger_is_brought_up_to_date_in_place(unpacked: Cli) -> None:
    path = unpacked.home / "ledger.db"
    assert ACCOUNT["schema"] == "0005"
    async with await Ledger.open(f"sqlite:///{path}", clock=Clock()) as ledger:
        jobs = {
            job.key: job.state.value for row in await ledger.batches() for job in await ledger.jobs_of(row.batch.name)
        }
    assert jobs == {job["key"]: job["state"] for job in ACCOUNT["jobs"] if job["kind"] != "look"}
    with closing(sqlite3.connect(path)) as opened:
        assert opened.execute("SELECT version_num FROM callsheet_schema").fetchall() == [(HEAD,)]


@pytest.mark.parametrize("batch", ENDED)
def test_what_had_ended_is_planned_as_reuse_and_run_without_a_request(team: Team, batch: str) -> None:
    asked, before, files = BATCHES[batch], team.sent(), team.archived()
    plan = team.command("plan", asked["sheet"], *(one for one in asked["args"] if one != "--yes"), "--json")
    assert plan.exit_code == 0, plan.stderr
    stored = [job for job in ACCOUNT["jobs"] if (job["batch"], job["state"]) == (batch, "stored")]
    finished = {f"{job['shot']}/{job['slot']}" for job in stored if job["kind"] != "look"}
    planned = {f"{shot['shot']}/{one['slot']}": one["what"] for shot in plan.json["shots"] for one in shot["actions"]}
    assert {place: planned.get(place) for place in finished} == dict.fromkeys(finished, "reuse")
    assert "create" not in planned.values()
    ran = team.run(batch)
    assert ran.exit_code == asked["exit_code"], ran.stderr
    assert (ran.json["shots"], ran.json["waiting_for"]) == (asked["shots"], asked["waiting_for"])
    assert [ran.json[made]["created"] for made in ("images", "videos", "cuts")] == [0, 0, 0]
    assert ran.json["usd"]["spent"] == asked["usd"]["spent"]
    assert (team.sent(), team.archived()) == (before, files)


@pytest.mark.long
@pytest.mark.parametrize("batch", TROUBLE)
def test_what_was_refused_or_failed_is_not_paid_for_again_and_what_had_expired_is_looked_for(
    team: Team, batch: str
) -> None:
    asked, before = BATCHES[batch], team.sent()
    ran = team.run(batch)
    assert ran.exit_code == 3, ran.stderr
    assert ran.json["shots"] == {**asked["shots"], "done": 2, "failed": 1}, "the provider still had the clip"
    assert (ran.json["images"]["created"], ran.json["videos"]["created"]) == (0, 0)
    assert ran.json["usd"]["spent"] == asked["usd"]["spent"]
    assert team.sent() == before


@pytest.mark.long
def test_the_commands_find_what_was_made(team: Team) -> None:
    before = team.sent()
    for batch in (*ENDED, *TROUBLE):
        verified = team.command("archive", "verify", batch, "--json")
        assert (batch, verified.exit_code) == (batch, 0), verified.stdout
    found = team.command("find", "kite", "--json")
    assert Counter(one["batch"] for one in found.json["assets"]) == {"made.rehearsal": 6, "live.live": 6}
    status = team.command("status", "--json")
    assert {one["batch"] for one in status.json["batches"]} == set(BATCHES)
    assert team.command("gallery", "made.rehearsal", "--json").json["shots"] == 12
    cut = team.command("cuts", "made.rehearsal", "--for", "1x1", "--shot", "best", "--json").json["batches"][0]
    assert cut["cuts"] == {"created": 0, "reused": 1, "failed": 0}
    assert team.sent() == before


@pytest.mark.long
def test_a_parked_batch_goes_on(later_team: Team) -> None:
    for batch in ("parked.rehearsal", "parked.live"):
        ran = later_team.run(batch, *["--wait"] * (batch == "parked.rehearsal"))
        assert ran.exit_code == 0, ran.stderr
        assert (ran.json["images"], ran.json["videos"]["created"]) == ({"created": 1, "reused": 1}, 1)


@pytest.mark.long
def test_what_was_submitted_is_fetched_and_not_sent_again(later_team: Team) -> None:
    before = later_team.sent()
    for batch in ("submitted.rehearsal", "submitted.live"):
        ran = later_team.run(batch)
        assert ran.exit_code == 0, ran.stderr
        assert ran.json["videos"] == {"created": 0, "reused": 0, "resumed": 1}
        assert ran.json["cuts"]["created"] == 1
    assert later_team.sent() == before


@pytest.mark.long
def test_what_is_in_doubt_stays_so_until_a_person_decides(team: Team) -> None:
    before = team.sent()
    for _ in range(2):
        ran = team.run("doubt.live")
        assert (ran.exit_code, ran.json["waiting_for"]["resolve"]) == (5, 2), ran.stderr
    assert team.sent() == before
    asked = team.command("resolve", "--no-look", "--json", live=True).json["jobs"]
    assert {job["shot"] for job in asked} == {"picture", "clip"}
    clip = next(job for job in asked if job["shot"] == "clip")
    assert team.command("resolve", clip["key"], "--resubmit", live=True).exit_code == 0
    ran = team.run("doubt.live")
    assert (ran.exit_code, ran.json["videos"]["created"]) == (5, 1), ran.stderr
    assert team.states("doubt.live") == {"stored": 3, "unknown": 1}


@pytest.mark.long
def test_an_old_plan_file_is_followed(later_team: Team) -> None:
    before = later_team.sent()
    assert later_team.command("run", "--plan", "made.json", "--json").exit_code == 5
    assert later_team.sent() == before
    ran = later_team.command("run", "--plan", "planned.json", "--wait", "--json")
    assert (ran.exit_code, ran.json["images"]) == (0, {"created": 3, "reused": 0}), ran.stderr


@pytest.mark.long
def test_decisions_that_an_old_gallery_saved_are_taken(team: Team) -> None:
    decided = team.command("approve", "made.rehearsal", "--file", "decisions.json", "--json")
    assert decided.exit_code == 0, decided.stderr
    ran = team.run("made.rehearsal")
    assert (ran.exit_code, ran.json["videos"]["created"], ran.json["images"]["created"]) == (3, 1, 0), ran.stderr


def test_an_old_archive_alone_tells_what_was_made(team: Team) -> None:
    before = team.sent()
    for name in ("ledger.db", "spool"):
        path = team.cli.home / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    rebuilt = team.command("ledger", "rebuild", "--json", live=True)
    assert rebuilt.exit_code == 0, rebuilt.stderr
    for batch in ENDED:
        ran = team.run(batch)
        assert (batch, ran.exit_code, ran.json["images"]["created"]) == (batch, BATCHES[batch]["exit_code"], 0), (
            ran.stderr
        )
    assert team.sent() == before


@pytest.mark.parametrize("name", ACCOUNT["flows"])
def test_the_parameters_of_old_runs_are_accepted(name: str) -> None:
    then = ACCOUNT["flows"][name]
    module, _, flow = then["entrypoint"].partition(":")
    now = inspect.signature(getattr(importlib.import_module(module), flow).fn).parameters
    assert set(then["accepts"]) <= set(now)
    required = {one for one, parameter in now.items() if parameter.default is inspect.Parameter.empty}
    assert required <= set(then["requires"])
