"""Serve on loopback with uvicorn, alone on a state directory."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from callsheet.errors import ServiceError
from callsheet.rehearsal.app import create_app
from callsheet.rehearsal.clock import note_time
from callsheet.rehearsal.config import RehearsalConfig
from callsheet.rehearsal.connections import Connections
from callsheet.rehearsal.service import Service

LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
READY_FILE = "service.json"
LOCK_FILE = "service.lock"

logger = logging.getLogger(__name__)


class RehearsalServer:
    """One service on one state directory.

    `run` serves until `stop` is called or the process is asked to end.
    """

    def __init__(self, config: RehearsalConfig, host: str = "127.0.0.1", port: int = 0) -> None:
        if host not in LOOPBACK:
            raise ServiceError(
                f"The rehearsal service answers only on this machine: {host!r} is not a loopback address."
            )
        self._config, self._host, self._port = config, host, port
        connections = Connections()
        self._app = create_app(config, connections)
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                self._app,
                http=connections.protocol(),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=2,
            )
        )

    @property
    def service(self) -> Service:
        """Return the running service."""
        service: Service = self._app.state.service
        return service

    def stop(self) -> None:
        """Answer what is under way, then end."""
        self.service.stopping.set()
        self._uvicorn.should_exit = True

    async def run(self, ready: Callable[[str], None]) -> None:
        """Serve; call `ready` with the base URL once requests are answered.

        Raises ServiceError when another service has the state directory, or the port is taken.
        """
        with _lock(self._config.state_dir), _open_listener(self._host, self._port) as listener:
            url = f"http://{self._host}:{listener.getsockname()[1]}"
            serving = asyncio.create_task(self._uvicorn.serve(sockets=[listener]))
            while not self._uvicorn.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.005)
            if self._uvicorn.started:
                _announce(self._config.state_dir, url)
                self.service.keep(asyncio.create_task(note_time(self.service.state, self.service.clock)))
                ready(url)
            try:
                await serving
            finally:
                (self._config.state_dir / READY_FILE).unlink(missing_ok=True)
            if not self._uvicorn.started:
                raise ServiceError("The rehearsal service did not start; its log says why.")


async def serve(
    config: RehearsalConfig,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until interrupted; call `ready` with the base URL.

    Port 0 is any free one.
    """
    await RehearsalServer(config, host, port).run(ready)


@contextmanager
def _lock(state_dir: Path) -> Iterator[None]:
    """Hold the state directory's lock.

    The system releases it when the process ends, however it ends.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceError(
                f"Another rehearsal service is using {state_dir}. Nothing was started; use that one (its address is in "
                f"{READY_FILE} there), end it, or choose another state directory."
            ) from None
        yield


@contextmanager
def _open_listener(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise ServiceError(
                f"The rehearsal service cannot listen on {host}:{port}: {error.strerror}. "
                "Choose another port, or 0 for any."
            ) from error
        listener.listen(1024)
        yield listener


def _announce(state_dir: Path, url: str) -> None:
    """Write where the service is to a file that appears whole."""
    part = state_dir / f"{READY_FILE}.part"
    part.write_text(json.dumps({"pid": os.getpid(), "url": url}), encoding="utf-8")
    part.replace(state_dir / READY_FILE)
    logger.info("The rehearsal service answers on %s", url)
