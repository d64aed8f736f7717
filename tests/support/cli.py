"""The `callsheet` command as a process: forked from one that has imported everything, or started from nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.forked import Forge, Forked

# What `callsheet run` sets before it imports Prefect.
QUIET = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR"}
Process = subprocess.Popen[str] | Forked


@dataclass
class Ran:
    """A finished command."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object of the last line of stdout."""
        found: dict[str, Any] = json.loads(self.stdout.strip().splitlines()[-1])
        return found


@dataclass
class Cli:
    """The `callsheet` command in a folder of its own."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    forge: Forge | None = None
    main: str = "callsheet.cli.main:main"

    @property
    def home(self) -> Path:
        return self.folder / ".callsheet"

    def start(self, *args: str, **env: str) -> Process:
        """Start the command and return at once."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV"))}
        if self.forge is not None:
            return self.forge.start(args, self.folder, {**clean, **self.env, **env}, self.main)
        return subprocess.Popen(
            [sys.executable, "-c", "from callsheet.cli.main import main; main()", *args],
            cwd=self.folder,
            env={**clean, **self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *args: str, timeout_s: float = 240, **env: str) -> Ran:
        """Run the command to its end."""
        process = self.start(*args, **env)
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            raise AssertionError(f"callsheet {' '.join(args)} hangs:\n{stdout}\n{stderr}") from None
        return Ran(process.returncode, stdout, stderr)


def kill(process: Process) -> None:
    """SIGKILL, and wait until it is gone."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=120)
