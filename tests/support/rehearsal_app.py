"""The rehearsal service in this process, with a clock that is set by hand."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2

from callsheet.rehearsal.app import create_app
from callsheet.rehearsal.config import RehearsalConfig

KEY = {"x-goog-api-key": "k"}
TOKEN = {"Authorization": "Bearer t"}


class HandClock:
    """A clock that moves only when told; sleeping moves it."""

    factor = 1.0
    origin = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)

    def __init__(self) -> None:
        self.time = self.origin

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=max(0.0, seconds))


@asynccontextmanager
async def service(folder: Path, **settings):
    app = create_app(RehearsalConfig(state_dir=folder, **settings))
    async with app.router.lifespan_context(app):
        app.state.service.clock = clock = HandClock()
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=KEY) as client:
            client.clock = clock
            yield client


def error(reply):
    return reply.json()["error"]
