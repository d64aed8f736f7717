"""The local Prefect server: found, or started in the background.

It is left running so that its UI can be looked at.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from callsheet.errors import ServiceError
from callsheet.files import make_private
from callsheet.orchestration.server_files import (
    LOADED_S,
    PrefectServer,
    home_of,
    lock_file,
    note_file,
    read_note,
    server_folder,
)
from callsheet.orchestration.server_settings import (
    EVERYWHERE,
    LOOPBACK,
    PortTakenError,
    check_free,
    free_port,
    port_taken_error,
    server_environment,
    use_password,
)
from callsheet.settings import Settings

logger = logging.getLogger(__name__)

# A first start takes 10 s, and took 169 s on a busy machine (2026-11-30).
START_WITHIN_S, STOP_WITHIN_S = 300.0, 30.0
PORTS_TRIED = 3


def ensure_server(settings: Settings, port: int | None = None, host: str = LOOPBACK) -> PrefectServer:
    """Return the server of PREFECT_API_URL, else the local one, started if need be.

    ServiceError when that fails.

    One that is started listens on `host`; 0.0.0.0 lets other machines in.
    """
    if settings.prefect_api_url:
        return _use_given(settings.prefect_api_url)
    folder = note_file(settings).parent
    make_private(folder)
    # Of two commands that start at once, one starts the server and the other finds it running.
    with (folder / "starting.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = _patiently(settings)
        if server is not None and not _is_guarded(settings):
            logger.warning(
                "The Prefect server at %s was started by an earlier version: any web page opened on this machine can "
                "use it. End it when no run is under way (callsheet ui --stop); the next one is guarded.",
                server.api_url,
            )
        return server or _start_server(settings, host, port)


def _patiently(settings: Settings) -> PrefectServer | None:
    """Return the local server, waited for while its process is there.

    It may be busy. ServiceError when it stays silent.
    """
    give_up = time.monotonic() + START_WITHIN_S
    while (server := running_server(settings)) is None and _is_alive(settings):
        if time.monotonic() > give_up:
            raise ServiceError(
                f"The Prefect server of {settings.home.absolute()} runs and does not answer. Nothing was made or paid. "
                "It may be busy: try again, or end it with `callsheet ui --stop`."
            )
        time.sleep(0.5)
    return server


def find_server(settings: Settings) -> PrefectServer:
    """Return the server of PREFECT_API_URL, else the local one.

    ServiceError when none is running.
    """
    if settings.prefect_api_url:
        return _use_given(settings.prefect_api_url)
    server = running_server(settings)
    if server is None:
        raise ServiceError(
            f"No Prefect server of {settings.home.absolute()} is running. Nothing was changed. "
            "Start it with `callsheet ui` (make ui), or set PREFECT_API_URL to one on another machine."
        )
    return server


def _use_given(api_url: str) -> PrefectServer:
    given = PrefectServer(None, api_url.rstrip("/"))
    if not _is_up(given, LOADED_S):
        raise ServiceError(
            f"No Prefect server answers at PREFECT_API_URL ({given.api_url}). Nothing was made or paid. "
            "Start it, or unset the variable: a local server is then started."
        )
    return given


def running_server(settings: Settings) -> PrefectServer | None:
    """Return the local server of this home folder, when it still answers.

    Another one that has its port by now is not taken for it.
    """
    server = read_note(settings)
    folder = note_file(settings).parent
    if server and _is_up(server, LOADED_S) and home_of(server, folder) in (None, server_folder(settings)):
        use_password(folder)
        return server
    return None


def _is_guarded(settings: Settings) -> bool:
    """Tell whether the server that was noted keeps strangers' pages away.

    Earlier versions started it without.
    """
    with suppress(OSError, ValueError, AttributeError):
        return bool(json.loads(note_file(settings).read_text()).get("guarded"))
    return False


def _is_alive(settings: Settings) -> bool:
    """Tell whether the process that was noted is still there.

    It holds a lock for as long as it lives.
    """
    with suppress(FileNotFoundError), lock_file(settings).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def stop_server(settings: Settings) -> bool:
    """End the local server by its process id, and wait until it is gone.

    False when there is none.
    """
    server = read_note(settings) if _is_alive(settings) else None
    if server is None or server.pid is None:
        return False
    give_up = time.monotonic() + STOP_WITHIN_S
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
        while not _is_gone(server.pid):
            if time.monotonic() > give_up:  # it waits for requests that do not end
                os.killpg(server.pid, signal.SIGKILL)
            time.sleep(0.1)
    note_file(settings).unlink(missing_ok=True)
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


def _start_server(settings: Settings, host: str, port: int | None) -> PrefectServer:
    """Start a server on the port that was asked for, else on a free one.

    If that is taken meanwhile, on another free one.
    """
    if port:
        return _start(settings, host, port)
    for _ in range(PORTS_TRIED - 1):
        with suppress(PortTakenError):
            return _start(settings, host, free_port(host))
    return _start(settings, host, free_port(host))


def _start(settings: Settings, host: str, port: int) -> PrefectServer:
    folder = note_file(settings).parent
    api_url = f"http://{LOOPBACK if host == EVERYWHERE else host}:{port}/api"
    environment = server_environment(folder, api_url, host)
    check_free(host, port)
    log = folder / "server.log"
    argv = [sys.executable, "-P", "-m", "callsheet.orchestration.guarded_server", "--host", host, "--port", str(port)]
    with log.open("ab") as out, lock_file(settings).open("ab") as lock:
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
    server = PrefectServer(process.pid, api_url)
    note_file(settings).write_text(json.dumps({"pid": server.pid, "api_url": api_url, "guarded": True}))
    try:
        _wait_until_up(server, process, log)
    except ServiceError:
        check_free(host, port)  # it ended because somebody was faster
        raise
    if home_of(server, folder) not in (None, server_folder(settings)):
        _end(process)
        raise port_taken_error(host, port)
    use_password(folder)
    return server


def _wait_until_up(server: PrefectServer, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the process to serve.

    ServiceError, and no process left, when it ends or takes too long.

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


def is_gone(server: PrefectServer, settings: Settings) -> bool:
    """Tell whether the local server has ended and none answers in its place.

    Never of one on another machine.
    """
    return server.pid is not None and not _is_alive(settings) and not _is_up(server)


def is_up(server: PrefectServer) -> bool:
    """Tell whether the server answers, busy as it may be."""
    return _is_up(server, LOADED_S)


def _is_up(server: PrefectServer, timeout_s: float = 2.0) -> bool:
    try:
        with urlopen(f"{server.api_url}/health", timeout=timeout_s) as reply:  # noqa: S310  a loopback http address of ours
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False
