"""`callsheet` commands as processes forked from one that has imported everything: seconds less each.

Each is a process of its own, with its own environment, folder and output, and can be killed; only the imports are
shared. `Forge` is the tests' side; `python -m tests.support.forked` is the process that forks, one for all workers of
a test session: whoever needs it first starts it, and it ends when the session does.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.support.late_imports import WITH_PREFECT, list_late_imports
from tests.support.paths import ROOT

COMMANDS = (
    "callsheet.cli.run",
    "callsheet.cli.resolve",
    "callsheet.cli.recover",
    "callsheet.cli.ledger",
    "callsheet.cli.status",
    "callsheet.cli.gallery",
    "callsheet.cli.models",
    "callsheet.cli.archive",
    "callsheet.cli.check",
)
# What commands and their libraries import only when they need it.
LATER = (
    "alembic.command",
    "alembic.ext.checkconstraint_byname",
    "anyio._backends._asyncio",
    "av",
    "callsheet.archive.store_gcs",
    "callsheet.archive.store_local",
    "callsheet.gcs.connection",
    "callsheet.manifest.build_shots",
    "callsheet.providers.genai",
    "callsheet.providers.genai",
    "callsheet.providers.veo_agent",
    "google.genai",
    "google.oauth2.credentials",
    "gcsfs",
    "httpcore2",
    "numpy.fft",
    "numpy.ma",
    "pandera.api.pandas",
    "pandera.backends.polars.builtin_checks",
    "pandera.backends.polars.checks",
    "pandera.backends.polars.components",
    "pandera.backends.polars.container",
    "pandera.backends.register_checks",
    "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "PIL.PpmImagePlugin",
    "sqlalchemy.dialects.sqlite",
    "truststore",
)
SERVICE = ("callsheet.rehearsal.__main__", "callsheet.rehearsal.server", "uvicorn.protocols.http.auto")
PREFECT = (
    "flows.content_batch",
    "flows.collect",
    "prefect.flow_engine",
    "prefect.task_engine",
    "fastapi",
    "graphviz",
)
WANTED = sorted({*list_late_imports(*(name.rpartition(".")[2] for name in COMMANDS))} - WITH_PREFECT)
BARE = (*COMMANDS, *WANTED, *LATER, *SERVICE, "tests.support.whole_batch", "tests.support.shared_media")
# Messages of the SDK, whose validators pydantic makes when they are first used.
MESSAGES = (
    "HttpOptions",
    "HttpResponse",
    "HttpRetryOptions",
    "Content",
    "GenerateContentConfig",
    "GenerateContentResponse",
    "_GenerateContentParameters",
    "Part",
)
# Where the forges of a session are found, and the process whose end is the session's.
PLACE, OWNER = "TESTS_FORGES", "TESTS_FORGES_OWNER"
NO_INPUT = Path(os.devnull).open("rb")  # noqa: SIM115  for as long as the process lives
# How the command that this process has become ended, unless an error or a signal ended it.
CODES: list[str | int | None] = []
LOOK_EVERY_S = 0.01
LOOK_FOR_OWNER_EVERY_S = 1.0


@dataclass
class Forked:
    """A command under way; the part of `subprocess.Popen` that tests need."""

    pid: int
    folder: Path
    returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, None while it runs; of a killed one minus the signal."""
        ended = self.folder / "ended"
        if self.returncode is None and ended.exists():
            self.returncode = int(ended.read_text())
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for its end; its exit code."""
        give_up = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > give_up:
                raise subprocess.TimeoutExpired("callsheet", timeout)
            time.sleep(LOOK_EVERY_S)
        return code

    def communicate(self, timeout: float = 60.0) -> tuple[str, str]:
        """Wait for its end; what it wrote to stdout and stderr."""
        self.wait(timeout)
        return self.stdout, (self.folder / "stderr").read_text()

    @property
    def stdout(self) -> str:
        """What it has written to stdout so far."""
        path = self.folder / "stdout"
        return path.read_text() if path.exists() else ""


@dataclass(frozen=True)
class Forge:
    """The process that forks commands and has imported what they need, at the address of its socket."""

    address: Path

    def start(
        self,
        args: Sequence[str],
        folder: Path,
        env: Mapping[str, str],
        main: str = "callsheet.cli.main:main",
        beside: Path | None = None,
    ) -> Forked:
        """Start a command in a folder, with exactly this environment; `main` is the function that it is.

        What it writes to stdout and stderr lies in a folder `beside`, by default beside its own.
        """
        output = Path(tempfile.mkdtemp(prefix="output-", dir=beside or folder.parent))
        order = {"args": list(args), "cwd": str(folder), "env": dict(env), "output": str(output), "main": main}
        with (output / "stdout").open("ab") as stdout, (output / "stderr").open("ab") as stderr:
            return self.start_with(order, (NO_INPUT.fileno(), stdout.fileno(), stderr.fileno()))

    def start_with(self, order: Mapping[str, Any], streams: tuple[int, int, int]) -> Forked:
        """Start a command as the order tells, with these file descriptors as its stdin, stdout and stderr."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(self.address))
            socket.send_fds(asked, [b"+"], streams)
            asked.sendall(json.dumps(order).encode() + b"\n")
            with asked.makefile() as told:
                return Forked(int(told.readline()), Path(order["output"]))


def open_session(folder: Path) -> None:
    """Let this process and those it starts share their forges, which lie in this folder and end with this process."""
    os.environ |= {PLACE: str(folder), OWNER: str(os.getpid())}


@functools.cache
def forge(
    name: str, modules: tuple[str, ...], env: tuple[tuple[str, str], ...] = (), base: Forge | None = None
) -> Forge:
    """The session's forge of this name; it is started with the modules and environment when there is none yet.

    With a `base` it is forked itself, and has what that one has imported as well.
    """
    if PLACE not in os.environ:
        open_session(Path(tempfile.mkdtemp(prefix="forges-")))
    address = Path(os.environ[PLACE]) / name
    with address.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not address.exists():
            _start([str(address), os.environ[OWNER], *modules], {**os.environ, **dict(env)}, base)
    return Forge(address)


def bare_forge() -> Forge:
    """The forge of commands without Prefect and of rehearsal services."""
    return forge("bare", BARE)


def _start(args: Sequence[str], env: Mapping[str, str], base: Forge | None) -> None:
    address = Path(args[0])
    process: Forked | subprocess.Popen[bytes]
    if base is not None:
        process = base.start(args, ROOT, env, f"{__spec__.name}:serve", address.parent)
    else:
        process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, *args],
            env=env,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # What is typed at the tests' terminal is for the tests.
            start_new_session=True,
        )
    while not address.exists():
        assert process.poll() is None, f"the forge {address.name} ended with {process.returncode}"
        time.sleep(LOOK_EVERY_S)


def serve() -> None:
    """Import what is asked for, then fork a command for each order, until the session ends."""
    address, owner, *modules = sys.argv[1:]
    # Registered first, so called last.
    atexit.register(_end_at_once)
    gc.disable()
    for module in modules:
        importlib.import_module(module)
    if __name__ == "__main__":  # else it is forked from one that is warm
        _warm()
    # What is shared stays shared: the collector of a fork touches none of it.
    gc.collect()
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.settimeout(LOOK_FOR_OWNER_EVERY_S)
        listening.bind(f"{address}.new")
        listening.listen(64)
        Path(f"{address}.new").rename(address)
        while Path(address).exists() and psutil.pid_exists(int(owner)):
            try:
                asked, _ = listening.accept()
            except TimeoutError:
                continue
            if (order := _fork_order(asked)) is not None:
                listening.close()
                _become(order)
                return
    shutil.rmtree(Path(address).parent, ignore_errors=True)


def _warm() -> None:
    """Make what nearly every command makes: catalogues, sounds, and the validators of the SDK's messages."""
    from google.genai import types

    from callsheet.models import load_catalogue
    from callsheet.platforms.reader import load_platforms
    from callsheet.rehearsal.render_video import ClipWish, render

    load_catalogue()
    load_platforms()
    # The sound of a clip is encoded once per process and length.
    for seconds in (4, 8):
        render(ClipWish("A lamp", 128, 128, seconds))
    for name in MESSAGES:
        getattr(types, name).model_rebuild()


def _fork_order(asked: socket.socket) -> dict[str, Any] | None:
    """Fork the command that is asked for and answer with its process id; the order, in the command itself."""
    with asked, asked.makefile("rw") as exchange:
        asked.settimeout(None)
        _, streams, _, _ = socket.recv_fds(asked, 1, 3)
        order: dict[str, Any] = json.loads(exchange.readline())
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(reader)
            _watch(order, streams, writer)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            return order
        for end in (writer, *streams):
            os.close(end)
        with os.fdopen(reader) as told:
            exchange.write(told.readline())
    return None


def _watch(order: dict[str, Any], streams: Sequence[int], writer: int) -> None:
    """In a process between: fork the command, tell its id, and write down how it ended. Returns in the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        return
    os.write(writer, f"{pid}\n".encode())
    for end in (writer, *streams):
        os.close(end)
    _, status = os.waitpid(pid, 0)
    code = Path(order["output"]) / "code"
    # Who went without waiting for it has taken the folder along.
    with contextlib.suppress(FileNotFoundError):
        code.write_text(str(os.waitstatus_to_exitcode(status)))
        code.rename(code.with_name("ended"))
    os._exit(0)


def _become(order: dict[str, Any]) -> None:
    """Be the command: take its folder and environment, and run to its end."""
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["callsheet", *order["args"]]
    module, _, function = str(order["main"]).partition(":")
    try:
        sys.exit(getattr(importlib.import_module(module), function)())
    except SystemExit as ended:
        CODES.append(ended.code)
        raise


def _end_at_once() -> None:
    """End a command that has done all that is done at an end; clearing what is shared would copy it: 0.2 s of CPU."""
    if CODES and isinstance(CODES[0], int | None):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(CODES[0] or 0)


if __name__ == "__main__":
    serve()
