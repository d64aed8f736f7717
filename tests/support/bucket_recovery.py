"""A batch whose archive is a bucket, and recovery and rebuilding from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from callsheet.archive.open import open_archive
from callsheet.archive.store import Store
from callsheet.clock import Clock
from callsheet.ledger import Ledger
from callsheet.providers.scopes import scope_of
from callsheet.reconcile.rebuild_ledger import Rebuilt, rebuild
from callsheet.settings import Settings
from tests.support.gcs_proxy import Proxy
from tests.support.left_behind import settings_at
from tests.support.service import Service, start_service

T = TypeVar("T")


@pytest.fixture
def service(tmp_path: Path, gcs_server: str) -> Iterator[Service]:
    """A service that can write videos to the bucket, as Agent Platform does."""
    settings = {"factor": 60, "latency": {"image": 0, "video": 20}, "gcs_endpoint": gcs_server}
    service = start_service(tmp_path / "service", **settings)
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


@pytest.fixture
def in_bucket(service: Service, tmp_path: Path, gcs_proxy: Proxy) -> Settings:
    return settings_at(service, tmp_path, archive=f"gs://bucket/{tmp_path.name}", storage_emulator_host=gcs_proxy.url)


async def having(settings: Settings, ask: Callable[[Store], Awaitable[T]]) -> T:
    store = open_archive(settings)
    try:
        return await ask(store)
    finally:
        await store.aclose()


async def names(settings: Settings, kind: str) -> list[str]:
    found = await having(settings, lambda store: store.list(""))
    return [name for name in found if name.rpartition("/")[2].startswith(kind)]


async def rebuilt(settings: Settings) -> Rebuilt:
    scope = scope_of(settings, "rehearsal")

    async def anew(store: Store) -> Rebuilt:
        async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
            return await rebuild(ledger, store, {"live": scope, "rehearsal": scope})

    return await having(settings, anew)


def lose_ledger(settings: Settings) -> None:
    for path in settings.home.glob("ledger.db*"):
        path.unlink()
