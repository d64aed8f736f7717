"""A batch of 2,000 pictures in shards, with one worker and with two.

PostgreSQL, Redis, all on this machine.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

from benchmarks.bench import Bench, Row
from benchmarks.cluster import INSTALLED, Api, deploy_to, end, postgres, redis, server, start_worker, with_redis
from benchmarks.services import instant_service

# A run takes 300 MB and a core for its start, so a worker of a small machine has few at once.
LIMIT = 2
WITHIN_S = 1800.0


@dataclass(frozen=True, slots=True)
class Site:
    """What workers share, and the process of the Prefect server."""

    api: Api
    pid: int
    settings: dict[str, str]
    folder: Path


def shards(bench: Bench) -> list[Row]:
    """Measure pictures a second and the Prefect server's CPU for each.

    With one worker and with two.
    """
    shots, what = bench.size(2000, 24), "pictures in shards, PostgreSQL and Redis"
    if not INSTALLED:
        return [Row(f"{shots:,} {what}", "not measured: PostgreSQL and redis-server are not installed")]
    folder = bench.new_folder("shards")
    with ExitStack() as stack:
        ledger, database = stack.enter_context(postgres())
        messages = with_redis(stack.enter_context(redis(folder)))
        given = {**messages, "PREFECT_SERVER_DATABASE_CONNECTION_URL": database}
        url, pid = stack.enter_context(server(folder / "server", given))
        deploy_to(url)
        settings = {
            "PREFECT_API_URL": url,
            "CALLSHEET_LEDGER": ledger,
            "CALLSHEET_ARCHIVE": str(folder / "archive"),
            "CALLSHEET_TIER": "3",
            "CALLSHEET_SHARD_SHOTS": str(shots // bench.size(8, 2)),
            "GOOGLE_GEMINI_BASE_URL": stack.enter_context(instant_service(folder / "service")),
        }
        site = Site(Api(url), pid, settings, folder)
        return [_build_row(site, shots, workers, what) for workers in (1, 2)]


def _build_row(site: Site, shots: int, workers: int, what: str) -> Row:
    sheet = site.folder / f"with-{workers}.csv"
    rows = (f"s{n:04},A lantern number {n} seen by {workers},1\n" for n in range(shots))
    sheet.write_text("id,prompt,takes\n" + "".join(rows), encoding="utf-8")
    started = [_start(site, f"{workers}-{n}") for n in range(workers)]
    try:
        before = _read_cpu_s(site.pid)
        seconds = _run(site.api, sheet, shots)
        cpu_s = _read_cpu_s(site.pid) - before
    finally:
        for worker in started:
            end(worker)
    named = "1 worker" if workers == 1 else f"{workers} workers"
    return Row(
        f"{shots:,} {what}, {named} of {LIMIT} runs",
        f"{shots / seconds:.1f} pictures/s, Prefect server {1000 * cpu_s / shots:.1f} ms of CPU per picture",
    )


def _start(site: Site, name: str) -> subprocess.Popen[bytes]:
    """Start a worker with a home of its own, as on a machine of its own."""
    folder = site.folder / f"worker-{name}"
    return start_worker(folder, {**site.settings, "CALLSHEET_HOME": str(folder / "home")}, LIMIT)


def _run(api: Api, sheet: Path, shots: int) -> float:
    """Measure the seconds from the start of the batch's run to its end.

    Its end is when the server has all states.
    """
    batch, give_up = api.start(sheet), time.monotonic() + WITHIN_S
    while not api.is_over(batch):
        assert time.monotonic() < give_up, "the batch does not end"
        time.sleep(1)
    ended = api.run(batch)
    assert ended["state"]["message"] == f"{shots} of {shots} shots done", ended["state"]
    while not all(task["state_type"] == "COMPLETED" for run in api.shards(batch) for task in api.tasks(run["id"])):
        assert time.monotonic() < give_up, "states are lost"
        time.sleep(1)
    begun, over = (datetime.fromisoformat(ended[name]) for name in ("start_time", "end_time"))
    return (over - begun).total_seconds()


def _read_cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and its children so far."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)
