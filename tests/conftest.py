"""Fixtures of all tests: a Prefect server, the rehearsal service as a separate process, the CLI, a browser."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests.support.environment import clean_environment

clean_environment()
# An example that takes long on a busy machine is no failure.
hypothesis.settings.register_profile("callsheet", deadline=None)
hypothesis.settings.load_profile("callsheet")

from tests.support.cli import QUIET, Cli  # noqa: E402  after the environment is clean
from tests.support.forked import COMMANDS, LATER, Forge  # noqa: E402
from tests.support.service import Service, start_service  # noqa: E402

if TYPE_CHECKING:
    from selenium import webdriver


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
    forge = Forge({}, [*COMMANDS, *LATER, "tests.support.whole_batch"])
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
    bare_cli.main = "tests.support.whole_batch:command_without_prefect"
    return bare_cli


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[str]:
    """The URL of a storage server with the bucket `bucket`: a real program, one for all tests of this process."""
    from tests.support.gcs_proxy import serving_gcs

    with pytest.MonkeyPatch.context() as patch, serving_gcs() as url:
        patch.delenv("STORAGE_EMULATOR_HOST")  # set by the wrapper; here it is always given explicitly
        yield url


@pytest.fixture
def gcs_proxy(gcs_server: str) -> Iterator[Any]:
    """A tests.support.gcs_proxy.Proxy in front of that server, faultless until it is told otherwise."""
    from tests.support.gcs_proxy import proxied

    with proxied(gcs_server) as proxy:
        yield proxy


@pytest.fixture
def early_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upload sessions for files of more than 512 KiB already: the same way as for large ones, in less time."""
    monkeypatch.setattr("callsheet.gcs.write_rule.RESUMABLE", 512 * 1024)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Chromium with a profile of its own."""
    from tests.support.browser import open_browser

    driver = open_browser(tmp_path / "profile")
    yield driver
    driver.quit()
