"""Fixtures of all tests: a Prefect server, the rehearsal service as a separate process, the CLI, a browser."""

from __future__ import annotations

import gc
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from _pytest.nodeid import coerce_node_id

from tests.support.environment import clean_environment

clean_environment()
# An example that takes long on a busy machine is no failure. `make slow` takes the thorough profile.
hypothesis.settings.register_profile("quick", deadline=None, max_examples=30)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=300)
hypothesis.settings.load_profile("quick")

from tests.support import forked  # noqa: E402  after the environment is clean
from tests.support.cli import QUIET, Cli  # noqa: E402
from tests.support.environment import FIRST_LOOK_S, PLATFORMS  # noqa: E402
from tests.support.forked import Forge  # noqa: E402
from tests.support.forked_services import fork_services  # noqa: E402
from tests.support.forked_workers import fork_workers  # noqa: E402
from tests.support.prefect_database import lay_database  # noqa: E402
from tests.support.quick_cases import mark_slow_cases  # noqa: E402
from tests.support.service import Service, start_service  # noqa: E402

if TYPE_CHECKING:
    from selenium import webdriver


def pytest_configure(config: pytest.Config) -> None:
    """Let all workers of a session share their forges; collect no garbage while modules are imported."""
    if not hasattr(config, "workerinput"):
        folder = Path(tempfile.mkdtemp(prefix="forges-"))
        forked.open_session(folder)
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        config.option.tx = fork_workers(getattr(config.option, "tx", []))
    fork_services()
    gc.disable()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark what is slow, and give the tests with a Prefect server to one worker: there is one server."""
    mark_slow_cases(items)
    for item in items:
        if "prefect_url" in getattr(item, "fixturenames", ()) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group("prefect"))
    yield
    # xdist 3.8 notes a test's group in `_nodeid`, which pytest 9.2 does not read any more: no test was grouped.
    for item in items:
        grouped = getattr(item, "_nodeid", item.nodeid)
        if grouped != item.nodeid:
            item._id = coerce_node_id(grouped)


def pytest_collection_finish() -> None:
    """Have the collector pass over what was imported, which stays."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator's wrapper leaves its address in the environment; here it is always given explicitly."""
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Live runs look at a clip of the service for the first time when it is done, and not only after 4 real seconds."""
    monkeypatch.setattr("callsheet.context.poller.FIRST_LOOK_S", FIRST_LOOK_S)


@pytest.fixture
def full_size_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts are as large as the platforms take them; those of other tests are small, for they are made sooner."""
    monkeypatch.delenv(PLATFORMS)


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
    lay_database(settings)
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
def forge(prefect_url: str) -> Forge:
    """Forks commands that use the tests' Prefect server."""
    modules = (*forked.COMMANDS, *forked.WANTED, *forked.LATER, *forked.PREFECT)
    environment = (("PREFECT_API_URL", prefect_url), *QUIET.items())
    return forked.forge("prefect", modules, environment, forked.bare_forge())


@pytest.fixture(scope="session")
def bare_forge() -> Forge:
    """Forks commands that need no Prefect."""
    return forked.bare_forge()


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
