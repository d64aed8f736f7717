"""The local Prefect server: found, or started in the background and left running so that its UI can be looked at."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from callsheet.errors import ServiceError
from callsheet.settings import Settings
from flows.server_env import server_environment

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104  only when a person asks for it
START_WITHIN_S = 120.0
# A server under load answers late; one that is not there refuses at once.
LOADED_S = 15.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its process id (None when it is not ours) and where API and UI are."""

    pid: int | None
    api_url: str

    @property
    def ui_url(self) -> str:
        """The address to open in a browser."""
        return self.api_url.removesuffix("/api")


def ensure_server(settings: Settings, port: int | None = None, host: str = LOOPBACK) -> Server:
    """The server of PREFECT_API_URL, else the local one, started when it is not running; ServiceError when it fails.

    One that is started listens on `host`; 0.0.0.0 lets other machines in.
    """
    if settings.prefect_api_url:
        return _given(settings.prefect_api_url)
    folder = _note(settings).parent
    folder.mkdir(parents=True, exist_ok=True)
    # Of two commands that start at once, one starts the server and the other finds it running.
    with (folder / "starting.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return running_server(settings) or _start(settings, host, port or _free_port(host))


def find_server(settings: Settings) -> Server:
    """The server of PREFECT_API_URL, else the local one; ServiceError when none is running."""
    if settings.prefect_api_url:
        return _given(settings.prefect_api_url)
    server = running_server(settings)
    if server is None:
        raise ServiceError(
            f"No Prefect server of {settings.home.absolute()} is running. Nothing was changed. "
            "Start it with `callsheet ui` (make ui), or set PREFECT_API_URL to one on another machine."
        )
    return server


def _given(api_url: str) -> Server:
    given = Server(None, api_url.rstrip("/"))
    if not _is_up(given, LOADED_S):
        raise ServiceError(
            f"No Prefect server answers at PREFECT_API_URL ({given.api_url}). Nothing was made or paid. "
            "Start it, or unset the variable: a local server is then started."
        )
    return given


def running_server(settings: Settings) -> Server | None:
    """The local server that was started from this home folder, when it still answers."""
    with suppress(OSError, ValueError, KeyError):
        noted = json.loads(_note(settings).read_text())
        server = Server(int(noted["pid"]), str(noted["api_url"]))
        if _is_up(server, LOADED_S):
            return server
    return None


def check_pool(server: Server, pool: str) -> None:
    """ServiceError when the server says that it has no such work pool. What it does not say is left to Prefect."""
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


def stop_server(settings: Settings) -> bool:
    """End the local server by its own process id; False when there is none."""
    server = running_server(settings)
    if server is None or server.pid is None:
        return False
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    _note(settings).unlink(missing_ok=True)
    return True


def _start(settings: Settings, host: str, port: int) -> Server:
    folder = _note(settings).parent
    api_url = f"http://{LOOPBACK if host == EVERYWHERE else host}:{port}/api"
    environment = server_environment(folder, api_url)
    log = folder / "server.log"
    argv = [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)]
    with log.open("ab") as out:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=environment,
            start_new_session=True,
        )
    server = Server(process.pid, api_url)
    _note(settings).write_text(json.dumps({"pid": server.pid, "api_url": api_url}))
    give_up = time.monotonic() + START_WITHIN_S
    while not _is_up(server):
        if process.poll() is not None or time.monotonic() > give_up:
            tail = log.read_text(errors="replace")[-2000:]
            raise ServiceError(f"The Prefect server did not start. Nothing was made or paid. The end of {log}:\n{tail}")
        time.sleep(0.2)
    return server


def _note(settings: Settings) -> Path:
    return settings.home / "prefect" / "server.json"


def _is_up(server: Server, timeout_s: float = 2.0) -> bool:
    try:
        with urlopen(f"{server.api_url}/health", timeout=timeout_s) as reply:  # noqa: S310  a loopback http address of ours
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False


def _free_port(host: str) -> int:
    """4200, as people expect it, when it is free."""
    for wish in (4200, 0):
        with socket.socket() as probe, suppress(OSError):
            # As the server itself does: connections that are just closing do not keep the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, wish))
            return int(probe.getsockname()[1])
    raise ServiceError(f"No free port on {host} for the Prefect server. Nothing was started.")
