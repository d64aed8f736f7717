"""Real parts for the tests: a Prefect server, the rehearsal service as a separate process, the CLI, a browser."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import hypothesis
import pytest

# Before anything imports gcsfs: without it every operation would probe the bucket type over gRPC.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
# What the machine happens to have set must not reach the tests.
for name in list(os.environ):
    if name.startswith(("CALLSHEET_", "GOOGLE_", "GEMINI_", "PREFECT_", "STORAGE_EMULATOR")):
        del os.environ[name]
os.environ["NO_GCE_CHECK"] = "true"
os.environ["DO_NOT_TRACK"] = "1"
# An example that takes long on a busy machine is no failure.
hypothesis.settings.register_profile("callsheet", deadline=None)
hypothesis.settings.load_profile("callsheet")

from tests.forked import COMMANDS, LATER, Forge, Forked  # noqa: E402  after the environment is clean

ROOT = Path(__file__).parent.parent
# What `callsheet run` sets before it imports Prefect.
QUIET = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR"}
Process = subprocess.Popen[str] | Forked


@dataclass
class Ran:
    """A finished command."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object of the last line of stdout."""
        found: dict[str, Any] = json.loads(self.stdout.strip().splitlines()[-1])
        return found


@dataclass
class Cli:
    """The `callsheet` command in a folder of its own."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    forge: Forge | None = None
    main: str = "callsheet.cli.main:main"

    @property
    def home(self) -> Path:
        return self.folder / ".callsheet"

    def start(self, *args: str, **env: str) -> Process:
        """Start the command and return at once."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV"))}
        if self.forge is not None:
            return self.forge.start(args, self.folder, {**clean, **self.env, **env}, self.main)
        return subprocess.Popen(
            [sys.executable, "-c", "from callsheet.cli.main import main; main()", *args],
            cwd=self.folder,
            env={**clean, **self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *args: str, timeout_s: float = 240, **env: str) -> Ran:
        """Run the command to its end."""
        process = self.start(*args, **env)
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            raise AssertionError(f"callsheet {' '.join(args)} hangs:\n{stdout}\n{stderr}") from None
        return Ran(process.returncode, stdout, stderr)


@dataclass
class Service:
    """The rehearsal service, served on its own by its command."""

    url: str
    process: Forked

    def counts(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx2.get(f"{self.url}/rehearsal/counts?full=1", timeout=120).json()
        return found

    def seen(self) -> int:
        """How many requests have come, asked for without the list of what was accepted."""
        found = httpx2.get(f"{self.url}/rehearsal/counts?after={10**9}", timeout=120).json()
        return sum(found["requests"].values())

    def script(self, *rules: dict[str, Any]) -> None:
        reply = httpx2.post(f"{self.url}/rehearsal/script", json={"rules": list(rules)}, timeout=120)
        assert reply.status_code == 200, reply.text


def start_service(state: Path, *, main: str = "callsheet.rehearsal.__main__:main", **settings: object) -> Service:
    """Serve a rehearsal service with these settings on a free port, in a process of its own; `main` is what it runs."""
    args = ["--state", str(state), "--settings", json.dumps(settings)]
    process = _service_forge().start(args, state.parent, os.environ, main)
    wait_for(lambda: process.stdout.endswith("\n") or process.poll() is not None)
    return Service(process.stdout.strip(), process)


@functools.cache
def _service_forge() -> Forge:
    forge = Forge({}, ["callsheet.rehearsal.__main__", "callsheet.rehearsal.server", "uvicorn.protocols.http.auto"])
    atexit.register(forge.close)
    return forge


@pytest.fixture(autouse=True)
def _no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator's wrapper leaves its address in the environment; here it is always given explicitly."""
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A rehearsal service of the test's own, with time 60 times faster and no latency to speak of."""
    service = start_service(tmp_path / "service", factor=60, latency={"image": 0, "video": 20})
    yield service
    service.process.terminate()
    service.process.wait(timeout=120)


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prefect server, one for all tests of this process."""
    from callsheet.orchestration.server import ensure_server, stop_server
    from callsheet.settings import load_settings

    settings = load_settings(home=tmp_path_factory.mktemp("server"))
    # Not 4200: of two servers that are started there at once, one would be taken for the other.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    yield ensure_server(settings, port).api_url
    _tell_the_last_events()
    stop_server(settings)


def _tell_the_last_events() -> None:
    """Flows of this process tell the server of logs and events by threads, which look for it long after its end."""
    if "prefect.flow_engine" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        APILogWorker.drain_all()
        EventsWorker.drain_all()


@pytest.fixture(scope="session")
def forge(prefect_url: str) -> Iterator[Forge]:
    """Forks commands that use the tests' Prefect server."""
    prefect = [
        "flows.content_batch",
        "flows.collect",
        "prefect.flow_engine",
        "prefect.task_engine",
        "fastapi",
        "graphviz",
    ]
    forge = Forge({"PREFECT_API_URL": prefect_url, **QUIET}, [*COMMANDS, *LATER, *prefect])
    yield forge
    forge.close()


@pytest.fixture(scope="session")
def bare_forge() -> Iterator[Forge]:
    """Forks commands that need no Prefect."""
    forge = Forge({}, [*COMMANDS, *LATER, "tests.whole_batch"])
    yield forge
    forge.close()


@pytest.fixture
def cli(tmp_path: Path, prefect_url: str, forge: Forge) -> Cli:
    """The command in an empty folder, with the tests' Prefect server."""
    folder = tmp_path / "team"
    folder.mkdir()
    return Cli(folder, {"PREFECT_API_URL": prefect_url}, forge)


@pytest.fixture
def cold_cli(tmp_path: Path, prefect_url: str) -> Cli:
    """As `cli`, but each command is started from nothing, as users do."""
    folder = tmp_path / "team"
    folder.mkdir()
    return Cli(folder, {"PREFECT_API_URL": prefect_url})


@pytest.fixture
def bare_cli(tmp_path: Path, bare_forge: Forge) -> Cli:
    """The command in an empty folder, for what needs no Prefect server."""
    folder = tmp_path / "team"
    folder.mkdir()
    return Cli(folder, forge=bare_forge)


@pytest.fixture
def lean_cli(bare_cli: Cli) -> Cli:
    """The command in an empty folder, whose batches run without Prefect: for what is not Prefect's. Seconds less."""
    bare_cli.main = "tests.whole_batch:command_without_prefect"
    return bare_cli


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[str]:
    """The URL of a storage server with the bucket `bucket`: a real program, one for all tests of this process."""
    from tests.gcs_proxy import serving_gcs

    with pytest.MonkeyPatch.context() as patch, serving_gcs() as url:
        patch.delenv("STORAGE_EMULATOR_HOST")  # set by the wrapper; here it is always given explicitly
        yield url


@pytest.fixture
def gcs_proxy(gcs_server: str) -> Iterator[Any]:
    """A tests.gcs_proxy.Proxy in front of that server, faultless until it is told otherwise."""
    from tests.gcs_proxy import proxied

    with proxied(gcs_server) as proxy:
        yield proxy


@pytest.fixture
def early_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upload sessions for files of more than 512 KiB already: the same way as for large ones, in less time."""
    monkeypatch.setattr("callsheet.gcs.write_rule.RESUMABLE", 512 * 1024)


def kill(process: Process) -> None:
    """SIGKILL, and wait until it is gone."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=120)


def wait_for(condition: Any, within_s: float = 60.0) -> None:
    """Wait until a condition holds; an assertion error when it does not in time."""
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, "it did not come to pass"
        time.sleep(0.05)


needs_browser = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")), reason="needs Chromium and chromedriver"
)
