"""Recovery with real parts: what was paid for is fetched for nothing, from the ledger alone, or is told to be lost."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from callsheet.clock import Clock
from callsheet.ledger import Job, JobState, Ledger
from tests.support.cli import Cli, kill
from tests.support.forked import Forge
from tests.support.service import Service, start_service
from tests.support.waiting import wait_for

SHEET = "id,prompt,takes,seed,motion_prompt,duration_s,cuts\n" + "".join(
    f"scene{n},A paper theatre scene number {n},1,{n},The curtain opens,4,16x9\n" for n in range(1, 3)
)


@pytest.fixture
def slow_service(tmp_path: Path) -> Iterator[Service]:
    """Videos take ten minutes of real time, so that a run can be killed between acceptance and arrival."""
    service = serve(tmp_path, 60)
    yield service
    end(service)


def serve(folder: Path, factor: float) -> Service:
    return start_service(folder / "service", factor=factor, latency={"image": 0, "video": 36_000})


def end(service: Service) -> None:
    service.process.terminate()
    service.process.wait(timeout=120)


def at(service: Service) -> dict[str, str]:
    return {"GOOGLE_GEMINI_BASE_URL": service.url, "GOOGLE_VERTEX_BASE_URL": service.url}


def jobs(cli: Cli) -> list[Job]:
    async def read() -> list[Job]:
        async with await Ledger.open(f"sqlite:///{cli.home / 'ledger.db'}", clock=Clock()) as ledger:
            return await ledger.jobs_of("sheet.rehearsal")

    return asyncio.run(read()) if (cli.home / "ledger.db").exists() else []


def states(cli: Cli, kind: str = "video") -> list[JobState]:
    return [job.state for job in jobs(cli) if job.kind == kind]


def run_and_kill(cli: Cli, service: Service, **env: str) -> None:
    """A run of two clips, killed when both are submitted and neither has been fetched."""
    (cli.folder / "sheet.csv").write_text(SHEET)
    process = cli.start("run", "sheet.csv", **at(service), **env)
    wait_for(lambda: states(cli).count(JobState.SUBMITTED) == 2 or process.poll() is not None, within_s=120)
    kill(process)
    assert states(cli) == [JobState.SUBMITTED] * 2


def test_videos_of_a_killed_run_are_fetched_for_free_and_their_shots_are_finished_without_a_new_submission(
    cli: Cli, bare_forge: Forge, slow_service: Service, tmp_path: Path
) -> None:
    with_prefect, cli = cli, Cli(cli.folder, cli.env, bare_forge, "tests.support.whole_batch:command_without_prefect")
    run_and_kill(cli, slow_service)
    early = cli("recover", "--json", **at(slow_service))
    assert early.exit_code == 4, early.stderr
    assert early.json["counts"] == {"running": 2}
    end(slow_service)
    service = serve(tmp_path, 36_000)  # the same one, in which ten hours are a second
    wait_for(lambda: cli("recover", "--json", **at(service)).exit_code == 0)
    assert states(cli) == [JobState.STORED] * 2
    counts = service.counts()
    assert counts["accepted"]["video"] == 2
    shutil.rmtree(cli.home / "spool")

    collected = with_prefect("recover", "--carry-on", "--json", **at(service))
    assert collected.exit_code == 0, collected.stderr
    [batch] = collected.json["carried_on"]
    assert (batch["shots"]["done"], batch["submissions"]) == (2, {"image": 0, "video": 0})
    shots = Path(batch["archive"]) / "shots"
    assert all(len(list(shot.glob("clip-*.mp4"))) == len(list(shot.glob("cut-*.mp4"))) == 1 for shot in shots.iterdir())
    assert json.loads((shots.parent / "_SUCCESS.json").read_text())["complete"] is True
    again = with_prefect("recover", "--carry-on", "--json", **at(service)).json
    assert (again["jobs"], again["carried_on"]) == ([], [])

    done = cli("run", "sheet.csv", "--json", **at(service))
    assert done.json["submissions"] == {"image": 0, "video": 0}
    assert service.counts()["accepted"] == counts["accepted"]
    end(service)
