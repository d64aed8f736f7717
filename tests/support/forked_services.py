"""The rehearsal service that a run starts for itself, forked where it would be started from nothing: a second less.

What runs is the service with the arguments and the stdin that the run gives it; its pictures are rendered once a
session.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from callsheet.rehearsal import process
from callsheet.rehearsal.config import RehearsalConfig
from tests.support.forked import PLACE, Forked, bare_forge

spawn_from_nothing = process.spawn_service


@dataclass
class ForkedService(Forked):
    """The service's process, which ends when its stdin is closed."""

    stdin: BinaryIO | None = None


def fork_services() -> None:
    """Have this process fork the services that it starts."""
    process.spawn_service = _fork_service


def _fork_service(config: RehearsalConfig) -> subprocess.Popen[bytes]:
    forge = bare_forge()
    settings = config.model_dump_json(exclude={"state_dir"}, exclude_defaults=True)
    state = str(config.state_dir.absolute())
    order = {
        "args": ["--attached", "--state", state, "--settings", settings],
        "cwd": str(Path.cwd()),
        "env": dict(os.environ),
        "output": tempfile.mkdtemp(prefix="service-", dir=os.environ[PLACE]),
        "main": "tests.support.shared_media:main",
    }
    end, stdin = os.pipe()
    with (config.state_dir / "service.log").open("ab") as log:
        forked = forge.start_with(order, (end, log.fileno(), log.fileno()))
    os.close(end)
    service = ForkedService(forked.pid, forked.folder, stdin=os.fdopen(stdin, "wb", buffering=0))
    return cast("subprocess.Popen[bytes]", service)
