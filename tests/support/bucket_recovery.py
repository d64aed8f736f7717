"""A batch whose archive is a bucket, and recovery and rebuilding from it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from callsheet.archive.open import open_archive
from callsheet.archive.store import Store
from callsheet.clock import Clock
from callsheet.ledger import Ledger
from callsheet.providers.routing import scope_of
from callsheet.reconcile.rebuild_ledger import Rebuilt, rebuild
from callsheet.settings import Settings
from tests.support.gcs_proxy import Proxy
from tests.support.left_behind import settings_at
from tests.support.service import Service, start_service

T = TypeVar("T")


@contextlib.contextmanager
def bucket_service(place: Path, gcs_server: str) -> Iterator[Service]:
    """A service that can write videos to the bucket, as Agent Platform does."""
    settings = {"factor": 60, "latency": {"image": 0, "video": 20}, "gcs_endpoint": gcs_server}
    service = start_service(place, **settings)
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


def settings_in_bucket(service: Service, folder: Path, proxy: Proxy) -> Settings:
    """Settings of a team whose archive is in the bucket behind the proxy."""
    return settings_at(service, folder, archive=f"gs://bucket/{folder.name}", storage_emulator_host=proxy.url)


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
