"""Start the service as a process of its own, or join the one that runs.

That is the one which already serves the state directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from callsheet.clock import Clock
from callsheet.errors import ServiceError, SettingsError
from callsheet.files import make_private
from callsheet.rehearsal.config import LatencyConfig, RehearsalConfig
from callsheet.rehearsal_proof import ProofAnswer, ask_service

# Of a service whose process is alive; one that ends is told of at once.
START_S = 60.0
STOP_S = 5.0
ASK_S = 2.0
PAUSE_S = 0.02
TAIL_BYTES = 2000
# A service that somebody named may be busy; of a state directory's, another look is taken soon.
NAMED_S = 30.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """A service that answers: where, its process, its clock, and its set latency."""

    base_url: str
    pid: int
    clock: Clock
    latency: LatencyConfig = field(default_factory=LatencyConfig)


class RehearsalProcess:
    """A service in use.

    Leaving it ends the process that was started here, unless others are still using it.
    """

    def __init__(self, running: Running, process: subprocess.Popen[bytes] | None, lease: socket.socket) -> None:
        self.running = running
        self._process = process
        self._lease = lease

    @classmethod
    def start(cls, config: RehearsalConfig, timeout_s: float = START_S) -> RehearsalProcess:
        """Join the service of `config.state_dir`, or start it with these settings.

        It is joined when it runs; a joined service keeps the settings it was started with. Raises ServiceError with the
        end of the log when it does not answer within `timeout_s` real seconds.
        """
        make_private(config.state_dir)
        deadline = time.monotonic() + timeout_s
        process: subprocess.Popen[bytes] | None = None
        while time.monotonic() < deadline:
            joined = _join(config.state_dir)
            if joined is not None:
                running, lease = joined
                # A process of ours that does not answer lost the race for the state directory, and ends by itself.
                own = process if process is not None and process.pid == running.pid else None
                if own is None:
                    _warn_of_other_settings(running, config)
                return cls(running, own, lease)
            if process is not None and process.poll() is not None and not _is_taken(config.state_dir):
                break
            if process is None or process.poll() is not None:
                process = spawn_service(config)
            # A service that is just ending still holds the state directory: try again until it let go.
            time.sleep(PAUSE_S)
        if process is not None:
            process.kill()
            process.wait()
        log = config.state_dir / "service.log"
        raise ServiceError(
            f"The rehearsal service did not start within {timeout_s:g} s; nothing was sent to it. "
            f"Mend what its log says and run again. The end of {log}:\n{_read_tail(log)}"
        )

    def stop(self) -> None:
        """Release the service; one that was started here ends unless it is leased."""
        self._lease.close()
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        deadline = time.monotonic() + STOP_S
        while self._process.poll() is None and not self._is_used_by_others():
            if time.monotonic() > deadline:
                self._process.kill()
            time.sleep(PAUSE_S)

    def _is_used_by_others(self) -> bool:
        # The first look may still see the lease that was just given back; the service then ends by itself.
        answer = _ask(self.running.base_url)
        return answer.is_proven and bool(answer.status.get("leases"))


@contextlib.asynccontextmanager
async def rehearsal_service(config: RehearsalConfig) -> AsyncIterator[Running]:
    """Yield the running service of this configuration; release it afterwards."""
    process = await asyncio.to_thread(RehearsalProcess.start, config)
    try:
        yield process.running
    finally:
        await asyncio.to_thread(process.stop)


def service_at(url: str) -> Running | None:
    """Return the rehearsal service at `url`, None when none answers there.

    None also when something else answers.
    """
    answer = _ask(url)
    return _ask_running(answer) if answer.is_proven else None


def find_service(url: str) -> Running:
    """Return the rehearsal service at the base URL that was given.

    Raises SettingsError when it is not there, or another server is. Nothing is sent to another server: a gateway would
    answer with pictures that somebody pays for.
    """
    answer = ask_service(url.rstrip("/"), NAMED_S)
    if not answer.is_proven:
        raise SettingsError(
            f"GOOGLE_GEMINI_BASE_URL: {answer.describe()} A rehearsal sends requests to that service only, so nothing "
            "was sent or charged. Start one (callsheet rehearsal), or unset the variable: one is then started for the "
            "run. A gateway is used by live runs (--live)."
        )
    return _ask_running(answer)


def spawn_service(config: RehearsalConfig) -> subprocess.Popen[bytes]:
    """Start the service of these settings in a process that ends with its stdin."""
    settings = config.model_dump_json(exclude={"state_dir"}, exclude_defaults=True)
    argv = [sys.executable, "-P", "-m", "callsheet.rehearsal", "--attached"]
    argv += ["--state", str(config.state_dir.absolute()), "--settings", settings]
    with (config.state_dir / "service.log").open("ab") as log:
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            # Ctrl-C is for the starter, which then closes stdin: the service outlives its last requests.
            start_new_session=True,
        )


def _ask(url: str) -> ProofAnswer:
    return ask_service(url.rstrip("/"), ASK_S)


def _ask_running(answer: ProofAnswer) -> Running:
    url, status = answer.url, answer.status
    clock = Clock(float(str(status["factor"])), datetime.fromisoformat(str(status["origin"])))
    return Running(url, int(str(status["pid"])), clock, LatencyConfig.model_validate(status.get("latency") or {}))


def _warn_of_other_settings(running: Running, config: RehearsalConfig) -> None:
    status = _ask(running.base_url).status
    if status.get("settings") != config.fingerprint():
        logger.warning(
            "The rehearsal service of %s is already running with other settings, which it keeps: %s",
            config.state_dir,
            running.base_url,
        )


def _is_taken(state_dir: Path) -> bool:
    """Return whether a service holds the state directory."""
    with (state_dir / "service.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _join(state_dir: Path) -> tuple[Running, socket.socket] | None:
    """Join the running service: return it with a lease, None when none answers.

    The lease keeps it running. Raises SettingsError when it is of an earlier version, which cannot prove what it is.
    """
    try:
        known = json.loads((state_dir / "service.json").read_text(encoding="utf-8"))
        url, pid = str(known["url"]), int(known["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    answer = _ask(url)
    if answer.is_older and answer.status.get("pid") == pid:
        raise SettingsError(f"{answer.describe()} It uses {state_dir}. Nothing was sent.")
    running = _ask_running(answer) if answer.is_proven else None
    if running is None or running.pid != pid:
        return None
    lease = _lease(url)
    return (running, lease) if lease is not None else None


def _lease(url: str) -> socket.socket | None:
    """Open a connection whose reply does not end; the service runs while it is open."""
    parts = urlsplit(url)
    try:
        lease = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=ASK_S)
        lease.sendall(f"GET /rehearsal/lease HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        if lease.recv(16).startswith(b"HTTP/1.1 200"):
            return lease
        lease.close()
    except OSError as error:
        logger.debug("No lease of %s: %s", url, error)
    return None


def _read_tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        return log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
    return "(no log)"
