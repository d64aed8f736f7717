"""The services that rows measure against, each a process of its own.

The rehearsal service and a Prefect server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from callsheet.orchestration.server import ensure_server, stop_server
from callsheet.rehearsal.config import LatencyConfig, RehearsalConfig
from callsheet.rehearsal.process import RehearsalProcess
from callsheet.settings import Settings

# So fast that no quota window and no poll makes anyone wait.
FACTOR = 1000.0


@contextmanager
def instant_service(folder: Path) -> Iterator[str]:
    """Start a rehearsal service that answers at once; yield its base URL.

    Its pictures were painted before.
    """
    config = RehearsalConfig(state_dir=folder, prerender=True, factor=FACTOR, latency=LatencyConfig(image=0, video=0))
    process = RehearsalProcess.start(config)
    try:
        yield process.running.base_url
    finally:
        process.stop()


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """Start a Prefect server of our own, ended with the block; yield its API's URL."""
    settings = Settings(home=home, prefect_api_url=None)
    server = ensure_server(settings)
    try:
        yield server.api_url
    finally:
        stop_server(settings)


def last_flow_s(api_url: str) -> float:
    """Return how long the flow run that started last took, in seconds.

    From its start to its end, as the server has it.
    """
    asked = json.dumps({"sort": "START_TIME_DESC", "limit": 1}).encode()
    request = Request(  # noqa: S310  a loopback address of ours
        f"{api_url}/flow_runs/filter", asked, {"content-type": "application/json"}
    )
    with urlopen(request, timeout=30) as reply:  # noqa: S310
        runs: list[dict[str, Any]] = json.load(reply)
    start, end = (datetime.fromisoformat(runs[0][name]) for name in ("start_time", "end_time"))
    return (end - start).total_seconds()
