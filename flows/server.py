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
from urllib.request import Request, urlopen

from callsheet.durable import make_private
from callsheet.errors import ServiceError
from callsheet.settings import Settings
from flows.server_env import password_header, server_environment

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104  only when a person asks for it
START_WITHIN_S, STOP_WITHIN_S = 120.0, 30.0
# A server under load answers late; one that is not there refuses at once.
LOADED_S = 15.0
PORTS_TRIED = 3


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
    make_private(folder)
    # Of two commands that start at once, one starts the server and the other finds it running.
    with (folder / "starting.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _patiently(settings) or _started(settings, host, port)


def _patiently(settings: Settings) -> Server | None:
    """The local server, waited for while its process is there: it may be busy. ServiceError when it stays silent."""
    give_up = time.monotonic() + START_WITHIN_S
    while (server := running_server(settings)) is None and _is_alive(settings):
        if time.monotonic() > give_up:
            raise ServiceError(
                f"The Prefect server of {settings.home.absolute()} runs and does not answer. Nothing was made or paid. "
                "It may be busy: try again, or end it with `callsheet ui --stop`."
            )
        time.sleep(0.5)
    return server


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
    """The local server that was started from this home folder, when it still answers.

    Another one that has its port by now is not taken for it.
    """
    server = _noted(settings)
    if server and _is_up(server, LOADED_S) and home_of(server) in (None, _home(settings)):
        return server
    return None


def _noted(settings: Settings) -> Server | None:
    with suppress(OSError, ValueError, KeyError):
        noted = json.loads(_note(settings).read_text())
        return Server(int(noted["pid"]), str(noted["api_url"]))
    return None


def _is_alive(settings: Settings) -> bool:
    """Whether the process that was noted is still there: it holds a lock for as long as it lives."""
    with suppress(FileNotFoundError), _lock(settings).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


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
    """End the local server by its own process id, and wait until it is gone; False when there is none."""
    server = _noted(settings) if _is_alive(settings) else None
    if server is None or server.pid is None:
        return False
    give_up = time.monotonic() + STOP_WITHIN_S
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
        while not _is_gone(server.pid):
            if time.monotonic() > give_up:  # it waits for requests that do not end
                os.killpg(server.pid, signal.SIGKILL)
            time.sleep(0.1)
    _note(settings).unlink(missing_ok=True)
    return True


def _is_gone(pid: int) -> bool:
    with suppress(ChildProcessError):  # not started by this process, as a rule
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


class _PortTakenError(ServiceError):
    """The port was another program's before the server had it."""


def _started(settings: Settings, host: str, port: int | None) -> Server:
    """A server on the port that was asked for, else on a free one, or another free one if that is taken meanwhile."""
    if port:
        return _start(settings, host, port)
    for _ in range(PORTS_TRIED - 1):
        with suppress(_PortTakenError):
            return _start(settings, host, _free_port(host))
    return _start(settings, host, _free_port(host))


def _start(settings: Settings, host: str, port: int) -> Server:
    folder = _note(settings).parent
    api_url = f"http://{LOOPBACK if host == EVERYWHERE else host}:{port}/api"
    environment = server_environment(folder, api_url)
    _check_free(host, port)
    log = folder / "server.log"
    argv = [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)]
    with log.open("ab") as out, _lock(settings).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=environment,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
    server = Server(process.pid, api_url)
    _note(settings).write_text(json.dumps({"pid": server.pid, "api_url": api_url}))
    try:
        _wait_until_up(server, process, log)
    except ServiceError:
        _check_free(host, port)  # it ended because somebody was faster
        raise
    if home_of(server) not in (None, _home(settings)):
        _end(process)
        raise _taken(host, port)
    return server


def _wait_until_up(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the process to serve; ServiceError, and no process left, when it ends or takes too long.

    What answers at its address while it is gone is another server.
    """
    give_up = time.monotonic() + START_WITHIN_S
    while process.poll() is None:
        if _is_up(server):
            return
        if time.monotonic() > give_up:
            _end(process)
            break
        time.sleep(0.2)
    tail = log.read_text(errors="replace")[-2000:]
    raise ServiceError(f"The Prefect server did not start. Nothing was made or paid. The end of {log}:\n{tail}")


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=START_WITHIN_S)


def home_of(server: Server) -> Path | None:
    """The folder that a server keeps its things in, as it says; None when it does not say."""
    request = Request(f"{server.api_url}/admin/settings", headers=password_header())  # noqa: S310  an address of Prefect's
    with suppress(OSError, ValueError, KeyError, TypeError), urlopen(request, timeout=LOADED_S) as reply:  # noqa: S310
        return Path(json.load(reply)["home"])
    return None


def _home(settings: Settings) -> Path:
    return _note(settings).parent.absolute()


def _note(settings: Settings) -> Path:
    return settings.home / "prefect" / "server.json"


def _lock(settings: Settings) -> Path:
    return settings.home / "prefect" / "running.lock"


def _is_up(server: Server, timeout_s: float = 2.0) -> bool:
    try:
        with urlopen(f"{server.api_url}/health", timeout=timeout_s) as reply:  # noqa: S310  a loopback http address of ours
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False


def _free_port(host: str) -> int:
    """4200, as people expect it, when it is free."""
    for wish in (4200, 0):
        with suppress(OSError):
            return _bound(host, wish)
    raise ServiceError(f"No free port on {host} for the Prefect server. Nothing was started.")


def _check_free(host: str, port: int) -> None:
    try:
        _bound(host, port)
    except OSError:
        raise _taken(host, port) from None


def _bound(host: str, port: int) -> int:
    """The port, after a moment in which it was ours; OSError when it is another's."""
    with socket.socket() as probe:
        # As the server itself does: connections that are just closing do not keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return int(probe.getsockname()[1])


def _taken(host: str, port: int) -> _PortTakenError:
    return _PortTakenError(
        f"Port {port} on {host} is another program's, or this is no address of this machine. Nothing was started or "
        "paid. Choose another one: callsheet ui --port. A Prefect server that is there already is used with "
        f"PREFECT_API_URL=http://{LOOPBACK if host == EVERYWHERE else host}:{port}/api."
    )
