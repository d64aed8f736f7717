"""A finished batch with a clip, cuts and pictures, made once, and copies of it for tests to damage."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from callsheet.archive.marker import Success
from callsheet.archive.open import open_archive
from callsheet.archive.store import Stat, Store
from callsheet.archive.verify import ArchiveContents, findings
from callsheet.batch.request import RunRequest
from callsheet.maintenance.service import Checked, copy_to, verify_archive
from callsheet.reconcile.inspect import ByteReading, holdings, inspect, tell_nobody
from callsheet.settings import Settings, load_settings
from tests.support.service import Service, start_service
from tests.support.whole_batch import whole_batch

T = TypeVar("T")
BATCH = "sheet.rehearsal"
PREFIX = f"sheet/{BATCH}"
SHEET = """id,prompt,takes,seed,motion_prompt,duration_s,cuts,tags
kite,A kite over dunes,2,5,It climbs,4,1x1,air
cup,A hand-thrown cup,1,8,,,,
"""


@dataclass
class Kept:
    """A home and an archive of a test's own."""

    settings: Settings
    service: Service

    async def verify(self, *, deep: bool = False, repair: bool = False) -> Checked:
        """What `callsheet archive verify` finds, and does."""
        [checked] = await verify_archive(self.settings, [BATCH], deep=deep, mend=repair, tell=tell_nobody)
        return checked

    async def evidence(self) -> ArchiveContents:
        """All that the archive has of the batch."""

        async def looked(store: Store) -> ArchiveContents:
            [held] = await holdings(store, [BATCH])
            return await inspect(store, held, reading=ByteReading())

        return await self.having(looked)

    async def having(self, ask: Callable[[Store], Awaitable[T]]) -> T:
        """The answer of the archive."""
        store = open_archive(self.settings)
        try:
            return await ask(store)
        finally:
            await store.aclose()

    async def names(self, *kinds: str) -> list[str]:
        """The names of the files whose name begins like this, all without any."""
        names = await self.having(lambda store: store.list(""))
        return [name for name in names if not kinds or name.rpartition("/")[2].startswith(kinds)]

    async def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return await self.having(lambda store: store.read_bytes(name, 1 << 30))

    async def write(self, name: str, data: bytes) -> None:
        """Put other bytes under a name, as nobody should."""
        await self.having(lambda store: store.put_bytes(name, data, "application/octet-stream"))

    async def lose(self, *names: str) -> None:
        """Take files away."""

        async def take_away(store: Store) -> None:
            for name in names:
                found = await store.digests(name)
                assert await store.remove(name, Stat(found.size, found.md5))

        await self.having(take_away)

    async def marker(self) -> Success:
        """The success marker."""
        return Success.model_validate_json(await self.read(f"{PREFIX}/_SUCCESS.json"))

    async def assert_whole(self) -> None:
        """To the last byte."""
        assert findings(await self.evidence()) == ()

    def accepted(self) -> dict[str, int]:
        """What the service has been paid for."""
        found: dict[str, int] = self.service.counts()["accepted"]
        return found


@contextmanager
def finished_batch(folder: Path) -> Iterator[Kept]:
    """The batch in a folder, with the service that made it."""
    service = start_service(folder / "service", factor=600, latency={"image": 0, "video": 20})
    (folder / "sheet.csv").write_text(SHEET)
    settings = load_settings(home=folder / "home", gemini_base_url=service.url)
    try:
        report = asyncio.run(whole_batch(RunRequest(str(folder / "sheet.csv")), settings))
        assert report.exit_code == 0
        yield Kept(settings, service)
    finally:
        service.process.terminate()
        service.process.wait(timeout=20)


async def copy_of(made: Kept, folder: Path, bucket: str | None) -> Kept:
    """The same batch for one test: home and archive in `folder`, or the archive in a bucket at this server."""
    shutil.copytree(made.settings.home, folder / "home")
    given: dict[str, Any] = {"home": folder / "home", "gemini_base_url": made.settings.gemini_base_url}
    if bucket is None:
        return Kept(load_settings(**given), made.service)
    uri = f"gs://bucket/{folder.name}"
    moving = load_settings(**given, storage_emulator_host=bucket)
    copied, place = await copy_to(moving, BATCH, uri, tell_nobody)
    assert (copied.left, copied.complete, place) == ({}, True, f"{uri}/{PREFIX}")
    shutil.rmtree(folder / "home" / "archive")
    return Kept(load_settings(**given, storage_emulator_host=bucket, archive=uri), made.service)
