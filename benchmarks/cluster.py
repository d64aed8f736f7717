"""The parts of an installation on several machines, each a process of its own.

PostgreSQL, Redis, workers.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2

REDIS = shutil.which("redis-server")
# Debian keeps the server's programs out of the path.
_INITDB = shutil.which("initdb") or max(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)
POSTGRES = Path(_INITDB).resolve().parent if _INITDB else None
INSTALLED = REDIS is not None and POSTGRES is not None
START_S, BUSY_S = 60.0, 180.0
POOL = "shards"


@contextmanager
def postgres() -> Iterator[tuple[str, str]]:
    """Start a PostgreSQL server; yield the URLs of a ledger's and Prefect's database.

    Prefect's needs the extension pg_trgm, so it is a system's own PostgreSQL. It refuses to run as root, who starts it
    as the user `postgres`.
    """
    assert POSTGRES is not None, "PostgreSQL is not installed"
    as_user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    port, data = free_port(), Path(tempfile.mkdtemp(prefix="callsheet-postgres-"))
    at = f"postgres@127.0.0.1:{port}"
    if as_user:
        shutil.chown(data, "postgres", "postgres")
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/", **as_user}
    subprocess.run([POSTGRES / "initdb", "-D", data, "-U", "postgres", "--auth=trust"], check=True, **quiet)
    argv = [POSTGRES / "postgres", "-D", data, "-p", str(port), "-k", data, "-h", "127.0.0.1"]
    process = subprocess.Popen(argv, **quiet)
    try:
        _create_database(f"postgresql://{at}/postgres", "prefect")
        yield f"postgresql://{at}/postgres", f"postgresql+asyncpg://{at}/prefect"
    finally:
        process.send_signal(signal.SIGINT)  # ends connections, too
        process.wait(timeout=30)
        shutil.rmtree(data, ignore_errors=True)


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Start a Redis server that keeps nothing on disk; yield its URL."""
    assert REDIS is not None, "redis-server is not installed"
    port = free_port()
    argv = [REDIS, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for_port(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(timeout=20)


def with_redis(url: str) -> dict[str, str]:
    """Return the settings of a Prefect server that uses Redis.

    Its messages and leases go through it.
    """
    return {
        "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE": "prefect_redis.cleanup_queue",
        "PREFECT_REDIS_MESSAGING_URL": url,
        "PREFECT_REDIS_WORKER_CLEANUP_QUEUE_URL": url,
    }


@contextmanager
def server(folder: Path, settings: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """Start a Prefect server with these settings; yield its API's URL and process id."""
    from callsheet.orchestration.server_settings import server_env

    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    own = {"PREFECT_HOME": str(folder), "PREFECT_API_URL": url, "PREFECT_UI_API_URL": url}
    argv = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            argv, env=clean({**server_env(), **settings, **own}), stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_for_health(url, process, folder / "server.log")
        yield url, process.pid
    finally:
        end(process)


def start_worker(folder: Path, settings: Mapping[str, str], limit: int = 4) -> subprocess.Popen[bytes]:
    """Start a process worker of the pool `shards` with so many runs at once.

    They are in its process group.
    """
    named = ["--pool", POOL, "--type", "process", "--name", folder.name, "--limit", str(limit)]
    argv = [sys.executable, "-m", "prefect", "worker", "start", *named]
    given = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_HOME": str(folder / "prefect"), **settings}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "worker.log").open("wb") as log:
        return subprocess.Popen(
            argv, cwd=folder, env=clean(given), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """End a process started here with all of its group, and wait for it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=20)


async def deploy() -> None:
    """Create the pool `shards` with the deployments of a batch and of its shards."""
    from prefect import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.flows import EntrypointType
    from prefect.workers.process import ProcessWorker

    from flows.content_batch import content_batch
    from flows.content_shard import content_shard

    template = ProcessWorker.get_default_base_job_template()
    async with get_client() as client:
        with suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
    for flow in (content_batch, content_shard):
        made = await flow.ato_deployment(flow.name, work_pool_name=POOL, entrypoint_type=EntrypointType.MODULE_PATH)
        await made.aapply()


def deploy_to(api_url: str) -> None:
    """Do the same on the server at this URL."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api_url}):
        asyncio.run(deploy())


class Api:
    """A Prefect server, seen through its API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **body: Any) -> Any:
        """Return the answer to a POST.

        It carries the token that the server wants of whoever writes (none where it wants none).
        """
        reply = httpx2.get(f"{self.url}/csrf-token", params={"client": "bench"}, timeout=BUSY_S)
        given = (
            {"Prefect-Csrf-Client": "bench", "Prefect-Csrf-Token": reply.json()["token"]} if reply.is_success else {}
        )
        return self._request("POST", path, json=body, headers=given)

    def get(self, path: str) -> Any:
        """Return the answer to a GET."""
        return self._request("GET", path)

    def _request(self, method: str, path: str, **more: Any) -> Any:
        """Return the answer to a request, repeated after a 503.

        A server on SQLite says 503 when its database is locked, after a minute at times.
        """
        give_up = time.monotonic() + BUSY_S
        while True:
            try:
                reply = httpx2.request(method, f"{self.url}/{path}", timeout=BUSY_S, **more)
                if reply.status_code != 503:
                    assert reply.status_code < 300, reply.text
                    return reply.json()
            except httpx2.ConnectError:
                if time.monotonic() > give_up:
                    raise
            assert time.monotonic() < give_up, "the server is busy for too long"
            time.sleep(0.5)

    def start(self, manifest: Path, **parameters: str) -> str:
        """Start the batch of a manifest by its deployment; return the id of its run."""
        deployment = self.get("deployments/name/content-batch/content-batch")["id"]
        given = {"manifest": str(manifest), **parameters}
        run = self.ask(f"deployments/{deployment}/create_flow_run", parameters=given)
        return str(run["id"])

    def run(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"flow_runs/{run}")
        return found

    def is_over(self, run: str) -> bool:
        return self.run(run)["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

    def shards(self, *of: str) -> list[dict[str, Any]]:
        """List the runs of shards of these batch runs, in the manifest's order."""
        found: list[dict[str, Any]] = self.ask("flow_runs/filter", flow_runs={"parent_flow_run_id": {"any_": list(of)}})
        return sorted(found, key=lambda run: (run["parameters"]["first"], run["expected_start_time"]))

    def tasks(self, run: str) -> list[dict[str, Any]]:
        """List the task runs of a run: at most 200, more than a shard has."""
        found: list[dict[str, Any]] = self.ask("task_runs/filter", task_runs={"flow_run_id": {"any_": [run]}})
        return found


def clean(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with these settings of callsheet, providers and Prefect.

    No others of theirs are in it.
    """
    from benchmarks.bench import environment

    return environment(**settings)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _create_database(url: str, name: str) -> None:
    """Create a database as soon as the server takes connections."""
    import psycopg

    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up:
        with suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
            return
        time.sleep(0.1)
    raise RuntimeError("PostgreSQL does not take connections.")


def _wait_for_port(port: int) -> None:
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"Nobody listens on port {port}.")


def _wait_for_health(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up and process.poll() is None:
        with suppress(httpx2.HTTPError):
            if httpx2.get(f"{url}/health", timeout=2).status_code == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"The Prefect server did not start: {log.read_text()[-2000:]}")
