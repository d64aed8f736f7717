"""2,000 shots in shards on PostgreSQL and Redis; a worker is killed with its runs, then the batch's own run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cluster import INSTALLED, Api, deploy_to, end, postgres, redis, server, start_worker, with_redis
from callsheet.clock import Clock
from callsheet.ledger import Ledger
from callsheet.plan.grouping import groups
from callsheet.shots import ShotOutcome
from tests.support.service import Service, start_service
from tests.support.waiting import wait_for

pytest.importorskip("psycopg")
pytest.importorskip("prefect_redis")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not INSTALLED, reason="needs PostgreSQL and redis-server"),
]

SHOTS, SIZE = 2000, 250
# As many groups as flows/content_shard.py makes of a shard.
MOST_GROUPS = 20
WITHIN_S = 900.0
RUNS_AT_ONCE, IMAGES_AT_ONCE = 2, 16


@dataclass
class Site:
    """Two machines, as it were: what they share, and the folder that has a home for each."""

    api: Api
    service: Service
    ledger: str
    settings: dict[str, str]
    folder: Path

    def worker(self, name: str) -> subprocess.Popen[bytes]:
        folder = self.folder / name
        return start_worker(folder, {**self.settings, "CALLSHEET_HOME": str(folder / "home")}, limit=RUNS_AT_ONCE)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        ledger, database = stack.enter_context(postgres())
        messages = with_redis(stack.enter_context(redis(tmp_path)))
        given = {**messages, "PREFECT_SERVER_DATABASE_CONNECTION_URL": database}
        url, _ = stack.enter_context(server(tmp_path / "server", given))
        deploy_to(url)
        service = start_service(tmp_path / "service", factor=60, prerender=True, latency={"image": 60, "video": 0})
        stack.callback(service.process.wait, timeout=20)
        stack.callback(service.process.terminate)
        settings = {
            "PREFECT_API_URL": url,
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
            "CALLSHEET_LEDGER": ledger,
            "CALLSHEET_ARCHIVE": str(tmp_path / "archive"),
            "CALLSHEET_TIER": "3",
            "CALLSHEET_SHARD_SHOTS": str(SIZE),
            "GOOGLE_GEMINI_BASE_URL": service.url,
        }
        yield Site(Api(url), service, ledger, settings, tmp_path)


def completed(api: Api, run: str) -> Counter[str]:
    """How many task runs of each task of a run are completed, as the server has it."""
    tasks = (task for task in api.tasks(run) if task["state_type"] == "COMPLETED")
    return Counter(re.sub("-[0-9a-f]{8}$", "", task["task_key"]) for task in tasks)


def states(runs: list[dict[str, Any]]) -> Counter[str]:
    return Counter(run["state_type"] for run in runs)


async def told_by(ledger: str) -> tuple[int, Counter[str]]:
    """How many shots are done, and how the requests of the batch ended."""
    async with await Ledger.open(ledger, clock=Clock()) as opened:
        ended = Counter(attempt.outcome for attempt in await opened.attempts_of("lamps.rehearsal"))
        return (await opened.counts("lamps.rehearsal"))[ShotOutcome.DONE], ended


async def test_a_worker_and_the_batchs_run_are_killed_and_every_shot_is_made(site: Site) -> None:
    sheet = site.folder / "lamps.csv"
    sheet.write_text("id,prompt,takes\n" + "".join(f"s{n:04},A lamp number {n},1\n" for n in range(SHOTS)))
    api = site.api
    first = site.worker("first")
    second = None
    try:
        batch = api.start(sheet)
        wait_for(lambda: api.shards(batch), within_s=120)  # the first worker has the batch's own run
        second = site.worker("second")
        wait_for(lambda: states(api.shards(batch))["RUNNING"] >= 3 and api.shards(batch), within_s=180)
        wait_for(lambda: site.service.seen() > SHOTS / 4, within_s=WITHIN_S)
        end(second, signal.SIGKILL)
        killed = api.shards(batch)
        second = site.worker("third")

        # Its runs fell silent, were given up, and others went on.
        wait_for(lambda: states(api.shards(batch))["CRASHED"] >= 1, within_s=180)
        crashed = [run["id"] for run in api.shards(batch) if run["state_type"] == "CRASHED"]
        assert set(crashed) <= {run["id"] for run in killed}

        os.kill(int(api.run(batch)["infrastructure_pid"].rpartition(":")[2]), signal.SIGKILL)
        wait_for(lambda: api.run(batch)["state_type"] == "CRASHED", within_s=120)
        at_work = {run["id"] for run in api.shards(batch) if run["state_type"] in ("RUNNING", "PENDING", "SCHEDULED")}
        again = api.start(sheet)
        wait_for(lambda: api.is_over(again), within_s=WITHIN_S)
    finally:
        end(first)
        if second is not None:
            end(second)

    assert api.run(again)["state"]["message"] == f"{SHOTS} of {SHOTS} shots done"
    done, ended = await told_by(site.ledger)
    assert (done, ended["finished"]) == (SHOTS, SHOTS)
    # Pictures whose answers were under way to a killed process are made once more, and no others. Killed were the
    # worker's runs, and the batch's own, which may have taken over a shard.
    again_made = site.service.counts()["accepted"]["image"] - SHOTS
    assert again_made <= ended["unknown"] <= (RUNS_AT_ONCE + 1) * IMAGES_AT_ONCE
    runs = api.shards(batch, again)
    assert all(run["state_type"] == "COMPLETED" for run in runs if run["id"] in at_work), "they were joined"
    # Of every run that came to its end, the server has every task run that the flow created, and how it ended.
    tried: Counter[int] = Counter(run["parameters"]["first"] for run in runs)
    for run in runs:
        if run["state_type"] == "COMPLETED":
            found = completed(api, run["id"])
            assert set(found) <= {"images", "archive"}
            assert found["images"] == found["archive"] == sum(found.values()) / 2 == len(api.tasks(run["id"])) / 2
            if tried[run["parameters"]["first"]] == 1:
                assert found["images"] == len(groups(range(SIZE), MOST_GROUPS))
