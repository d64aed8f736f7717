"""`callsheet worker`: takes the runs of the work pool, on this machine."""

from __future__ import annotations

import os
import sys
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.error import HTTPError
from urllib.request import urlopen

import typer

from callsheet.cli.output import say
from callsheet.errors import ServiceError
from callsheet.log_format import JSON_LOGS
from callsheet.orchestration.own_packages import SAFE_PATH, check_folder
from callsheet.settings import load_settings

if TYPE_CHECKING:  # the help and wrong usage are told at once
    from callsheet.orchestration.server_files import PrefectServer

POOL = "callsheet"
# Besides one run per core, room for what is short and should not wait for long batches: approvals, `collect`, reports.
SHORT_RUNS = 2
FEWEST = 4


def worker(
    limit: Annotated[
        int | None, typer.Option(min=1, help="How many runs at once; default: cores and two more, at least four.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the UI calls this worker.")] = None,
) -> None:
    """Take runs from the work pool until it is stopped.

    Any number of workers share one pool.

    Runs have this process's environment: keys, ledger and archive are set here.
    """

    from callsheet.cli.run import use_server
    from callsheet.orchestration.server import find_server

    check_folder(Path.cwd())
    settings = load_settings()
    server = find_server(settings)
    _check_pool(server, POOL)
    # Here the log is all that there is to see.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "INFO")
    use_server(server)
    if settings.log_format == "json":
        os.environ.update(JSON_LOGS)
    os.environ.update(SAFE_PATH)  # runs work in a project's folder, whatever packages it has
    most = limit or default_limit()
    say(f"Prefect UI: {server.ui_url}\nAt most {most} runs at once (--limit); a run takes 300 MB and more with cuts.")
    say("Stop with Ctrl-C; batches under way are then ended, and go on later.")
    argv = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--limit", str(most)]
    argv += ["--name", name] if name else []
    os.execv(sys.executable, argv)  # noqa: S606  it becomes Prefect's own worker, and takes its signals


def default_limit() -> int:
    """Return how many runs this machine has at once by default.

    They start with a core each, and then wait a lot.
    """
    return max(FEWEST, (os.cpu_count() or 1) + SHORT_RUNS)


def _check_pool(server: PrefectServer, pool: str) -> None:
    """Raise ServiceError when the server says that it has no such work pool.

    What it does not say is left to Prefect.
    """

    from callsheet.orchestration.server_files import LOADED_S

    try:
        urlopen(f"{server.api_url}/work_pools/{pool}", timeout=LOADED_S).close()  # noqa: S310  an address of Prefect's
    except HTTPError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            raise ServiceError(
                f"The Prefect server at {server.api_url} has no work pool {pool!r} yet. Nothing was started. "
                "Make it with `callsheet deploy` (make deploy)."
            ) from None
    except OSError:
        return
