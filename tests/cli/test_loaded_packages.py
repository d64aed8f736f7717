"""Which large packages a command loads: those that it needs, so that it starts at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from callsheet.cli.main import COMMANDS
from tests.support.forked import COMMANDS as FORKED
from tests.support.late_imports import WITH_PREFECT, list_late_imports
from tests.support.paths import ROOT
from tests.support.stories import start_story

LARGE = (
    "aiohttp",
    "alembic",
    "av",
    "fastapi",
    "gcsfs",
    "google.genai",
    "hypothesis",
    "numpy",
    "pandera",
    "polars",
    "prefect",
    "sqlalchemy",
)
TELL = f"print('LOADED', *sorted(name for name in {LARGE!r} if name in sys.modules))"
COMMAND = f"import atexit, sys; atexit.register(lambda: {TELL}); from callsheet.cli.main import main; main()"


def list_loaded(code: str, folder: Path, *arguments: str) -> set[str]:
    """The large packages that a Python with this code has loaded at its end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CALLSHEET_", "PREFECT_"))}
    argv = [sys.executable, "-c", code, *arguments]
    ended = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return set(ended.stdout.rpartition("LOADED")[2].split())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "boats.csv").write_text("id,prompt\na,A boat\n", encoding="utf-8")
    return tmp_path


def test_help_loads_no_large_package(folder: Path) -> None:
    assert list_loaded(COMMAND, folder, "--help") == set()


def test_no_command_loads_a_large_package_for_its_help_or_for_wrong_usage(folder: Path) -> None:
    """Typer reads a command's signature from its module, so what the command needs is imported when it is called."""
    calls = [[name, "--help"] for name in COMMANDS] + [[name, "--no-such-option"] for name in COMMANDS]
    code = "\n".join(
        [
            "import contextlib, io, sys",
            "from callsheet.cli.main import main",
            f"for argv in {calls!r}:",
            "    sys.argv = ['callsheet', *argv]",
            "    said = io.StringIO()",
            "    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):",
            "        with contextlib.suppress(SystemExit):",
            "            main()",
            "    assert 'Usage' in said.getvalue() or 'such option' in said.getvalue(), (argv, said.getvalue())",
            TELL,
        ]
    )
    assert list_loaded(code, folder) == set()


def test_no_command_loads_prefect_before_it_knows_its_server(folder: Path) -> None:
    """Prefect reads the server's address once, and would take a server of its own: its run is seen nowhere."""
    names = sorted(path.stem for path in (ROOT / "callsheet" / "cli").glob("*.py") if path.stem != "__init__")
    modules = [f"callsheet.cli.{name}" for name in names] + sorted({*list_late_imports()} - WITH_PREFECT)
    code = "\n".join(["import sys", *(f"import {name}" for name in modules), TELL])
    assert {"callsheet.cli.run", "callsheet.cli.deploy", "callsheet.batch.open"} <= set(modules)
    assert "prefect" not in list_loaded(code, folder)


def test_status_loads_the_database_only(folder: Path) -> None:
    assert list_loaded(COMMAND, folder, "status") <= {"sqlalchemy"}


def test_a_new_ledger_loads_no_migrations(folder: Path) -> None:
    code = (
        "import asyncio, sys\nfrom callsheet.clock import Clock\nfrom callsheet.ledger import Ledger\n"
        "async def main():\n    async with await Ledger.open(sys.argv[1], clock=Clock()): pass\n"
        f"asyncio.run(main())\n{TELL}"
    )
    assert list_loaded(code, folder, f"sqlite:///{folder}/home/ledger.db") == {"sqlalchemy"}


@pytest.mark.long
def test_a_plan_into_a_folder_loads_neither_prefect_nor_what_talks_to_google(folder: Path) -> None:
    loaded = list_loaded(COMMAND, folder, "plan", "boats.csv")
    assert {"pandera", "polars"} <= loaded
    assert not loaded & {"aiohttp", "alembic", "fastapi", "gcsfs", "google.genai", "hypothesis", "prefect"}


@pytest.mark.long
def test_a_run_into_a_folder_loads_no_bucket_no_migrations_and_no_test_data(folder: Path) -> None:
    code = (
        "import sys, callsheet.cli.run, flows.content_batch\nfrom callsheet.batch.prepare import read_request\n"
        "from callsheet.batch.request import RunRequest\nfrom callsheet.settings import load_settings\n"
        f"read_request(RunRequest('boats.csv'), load_settings())\n{TELL}"
    )
    loaded = list_loaded(code, folder)
    assert {"prefect", "google.genai", "pandera"} <= loaded
    assert not loaded & {"alembic", "gcsfs", "hypothesis"}


async def tell_prefect() -> None:
    """Say whether Prefect is loaded beside the commands: it would have read the environment before `run` sets it."""
    print("prefect" in sys.modules)  # noqa: T201


def test_commands_are_loaded_without_prefect_which_reads_the_address_of_its_server_when_it_is_imported() -> None:
    assert "callsheet.cli.run" in FORKED
    assert start_story(tell_prefect).said.read() == "False\n"
