"""The rehearsal service as a process of its own."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.support.forked import Forked, bare_forge
from tests.support.waiting import wait_for

SHARED_MEDIA = "tests.support.shared_media:main"


@dataclass
class Service:
    """The rehearsal service, served on its own by its command."""

    url: str
    process: Forked

    def counts(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx2.get(f"{self.url}/rehearsal/counts?full=1", timeout=120).json()
        return found

    def seen(self) -> int:
        """How many requests have come, asked for without the list of what was accepted."""
        found = httpx2.get(f"{self.url}/rehearsal/counts?after={10**9}", timeout=120).json()
        return sum(found["requests"].values())

    def script(self, *rules: dict[str, Any]) -> None:
        reply = httpx2.post(f"{self.url}/rehearsal/script", json={"rules": list(rules)}, timeout=120)
        assert reply.status_code == 200, reply.text


def start_service(state: Path, *, main: str = SHARED_MEDIA, **settings: object) -> Service:
    """Serve a rehearsal service with these settings on a free port, in a process of its own; `main` is what it runs."""
    args = ["--state", str(state), "--settings", json.dumps(settings)]
    process = bare_forge().start(args, state.parent, os.environ, main)
    wait_for(lambda: process.stdout.endswith("\n") or process.poll() is not None)
    return Service(process.stdout.strip(), process)
