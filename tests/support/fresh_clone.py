"""The repository as a clone has it, in a folder of its own, with its make targets: server, deployments, a worker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.cluster import Api, clean
from tests.support.paths import ROOT
from tests.support.service import Service

# Only the waiting is shortened: for a slot (30 s), and of a worker between two looks (10 s).
HURRIED = {"PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "15", "PREFECT_WORKER_QUERY_SECONDS": "2"}


@dataclass
class Clone:
    """A clone and what was started from it; `api` once its server runs."""

    folder: Path
    service: Service
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    url: str = ""

    @property
    def api(self) -> Api:
        return Api(f"{self.url}/api")

    @property
    def env(self) -> dict[str, str]:
        return clean({**HURRIED, "GOOGLE_GEMINI_BASE_URL": self.service.url})

    def make(self, target: str) -> str:
        """What a make target says; it has to succeed."""
        done = subprocess.run(
            ["make", target], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start_server(self) -> None:
        told = re.search(r"Prefect UI: (http://\S+)", self.make("ui"))
        assert told
        self.url = told[1]

    def start_worker(self) -> subprocess.Popen[bytes]:
        """`make worker`, which goes on until it is ended."""
        with (self.folder / "worker.log").open("ab") as log:
            worker = subprocess.Popen(["make", "worker"], cwd=self.folder, env=self.env, stdout=log, stderr=log)
        self.started.append(worker)
        return worker

    def edit(self, **changes: str) -> None:
        """Change `name: value` where deployments/prefect.yaml has it first: in the daily batch."""
        file = self.folder / "deployments" / "prefect.yaml"
        text = file.read_text()
        for name, value in changes.items():
            text, count = re.subn(rf"(^ .*\b{name}): .*", rf"\1: {value}", text, count=1, flags=re.MULTILINE)
            assert count == 1, name
        file.write_text(text)

    def close(self) -> None:
        """End all that was started."""
        for worker in self.started:
            for process in [*psutil.Process(worker.pid).children(recursive=True)] if worker.poll() is None else []:
                process.terminate()
            worker.wait(timeout=60)
        self.make("stop")


@contextmanager
def fresh_clone(folder: Path, service: Service) -> Iterator[Clone]:
    """What git would give, installed: the environment of this process stands for the one that `make setup` makes."""
    argv = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    command = folder / ".venv" / "bin" / "callsheet"
    command.parent.mkdir(parents=True)
    start = f'exec {sys.executable} -c "from callsheet.cli.main import main; main()" "$@"'
    command.write_text(f"#!/bin/sh\nexport PYTHONPATH={folder}\n{start}\n")
    command.chmod(0o755)
    (folder / ".venv" / ".installed").touch()
    os.utime(folder / ".venv" / ".installed")
    clone = Clone(folder, service)
    try:
        yield clone
    finally:
        clone.close()
