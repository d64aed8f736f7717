"""`callsheet` commands as processes forked from one that has imported everything: seconds less each.

Each is a process of its own, with its own environment, folder and output, and can be killed; only the imports are
shared. `Forge` is the tests' side; `python -m tests.support.forked` is the process that forks.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callsheet.models import load_catalogue
from tests.support.paths import ROOT

COMMANDS = (
    "callsheet.cli.run",
    "callsheet.cli.resolve",
    "callsheet.cli.recover",
    "callsheet.cli.ledger",
    "callsheet.cli.status",
    "callsheet.cli.gallery",
    "callsheet.cli.models",
)
# What commands and their libraries import only when they need it.
LATER = (
    "alembic.command",
    "alembic.ext.checkconstraint_byname",
    "anyio._backends._asyncio",
    "av",
    "callsheet.archive.store_local",
    "callsheet.manifest.build_shots",
    "callsheet.providers.genai",
    "callsheet.providers.veo_agent",
    "google.genai",
    "google.oauth2.credentials",
    "httpcore2",
    "pandera.backends.polars.builtin_checks",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "sqlalchemy.dialects.sqlite",
    "truststore",
)
LOOK_EVERY_S = 0.01


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


class Forge:
    """The process that forks commands and has imported these modules; `env` is what it imports them with."""

    def __init__(self, env: Mapping[str, str], modules: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, *modules],
            env={**os.environ, **env},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self, args: Sequence[str], folder: Path, env: Mapping[str, str], main: str = "callsheet.cli.main:main"
    ) -> Forked:
        """Start a command in a folder, with exactly this environment; `main` is the function that it is."""
        output = Path(tempfile.mkdtemp(prefix="output-", dir=folder.parent))
        order = {"args": list(args), "cwd": str(folder), "env": dict(env), "output": str(output), "main": main}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Forked(int(self._process.stdout.readline()), output)

    def close(self) -> None:
        """End the process; commands under way go on."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=120)


def serve() -> None:
    """Fork a command for each line of stdin and answer with its process id."""
    for module in sys.argv[1:]:
        importlib.import_module(module)
    load_catalogue()
    # What is shared stays shared: the collector of a fork touches none of it.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        order = json.loads(line)
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(reader)
            _watch(order, writer)
            return
        os.close(writer)
        with os.fdopen(reader) as told:
            print(told.readline().strip(), flush=True)  # noqa: T201  the answer


def _watch(order: dict[str, Any], writer: int) -> None:
    """In a process between: fork the command, tell its id, and write down how it ended. Returns in the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        _become(order)
        return
    os.write(writer, f"{pid}\n".encode())
    os.close(writer)
    _, status = os.waitpid(pid, 0)
    code = Path(order["output"]) / "code"
    code.write_text(str(os.waitstatus_to_exitcode(status)))
    code.rename(code.with_name("ended"))
    os._exit(0)


def _become(order: dict[str, Any]) -> None:
    """Be the command: take its folder, environment and output, and run to its end."""
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    output = Path(order["output"])
    for number, place in enumerate((Path(os.devnull), output / "stdout", output / "stderr")):
        opened = os.open(place, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = ["callsheet", *order["args"]]
    module, _, function = str(order["main"]).partition(":")
    getattr(importlib.import_module(module), function)()


if __name__ == "__main__":
    serve()
