"""Killed between any two of file, sidecar, catalogue part and marker, the same command ends with a whole batch."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from callsheet.archive.marker import Success, read_success
from callsheet.archive.open import open_archive
from callsheet.archive.store import Store
from callsheet.archive.verify import ArchiveContents, findings
from callsheet.batch.request import RunRequest
from callsheet.clock import Clock
from callsheet.ledger import JobState, Ledger
from callsheet.reconcile.inspect import ByteReading, holdings, inspect
from callsheet.settings import Settings, load_settings
from tests.support.forked import Forge
from tests.support.service import Service, start_service
from tests.support.waiting import wait_for
from tests.support.whole_batch import MOMENTS, whole_batch

# What the module makes once is made in one process.
pytestmark = pytest.mark.xdist_group("order_of_truth")

T = TypeVar("T")
SHEET = "id,prompt,takes,seed\nkite,Of: a kite over dunes,2,5\ncup,Of: a hand-thrown cup,1,8\n"
BATCH = "sheet.rehearsal"
# The kills of the quick suite, at the seams of the order of truth; `make slow` has the others.
QUICK = {
    "folder": ("after a file, before it is on record", "between sidecars and catalogue"),
    "bucket": ("between files and sidecar",),
}
KILLS = [
    pytest.param(place, moment, marks=() if moment in quick else pytest.mark.slow)
    for place, quick in QUICK.items()
    for moment in MOMENTS
]


@pytest.fixture(scope="module")
def one_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all tests of this module: each makes pictures of its own prompts."""
    service = start_service(tmp_path_factory.mktemp("service"), factor=600, latency={"image": 0, "video": 20})
    yield service
    service.process.terminate()
    service.process.wait(timeout=20)


@dataclass
class Room:
    """A folder with a manifest, and settings for an archive in a folder or in a bucket."""

    place: str
    folder: Path
    given: dict[str, Any]
    forge: Forge

    @property
    def settings(self) -> Settings:
        return load_settings(**{**self.given, "home": Path(self.given["home"])})

    @property
    def request(self) -> RunRequest:
        return RunRequest(str(self.folder / "sheet.csv"))

    def killed_at(self, moment: str) -> None:
        """Run the batch in a process of its own that is killed at the moment."""
        args = [json.dumps(self.given), self.request.manifest, moment, self.place]
        process = self.forge.start(args, self.folder, dict(os.environ), "tests.support.whole_batch:main")
        wait_for(lambda: process.poll() is not None)
        assert process.returncode == -9, process.communicate(1)

    def run(self) -> dict[str, Any]:
        """The same command, undisturbed."""
        return dict(asyncio.run(whole_batch(self.request, self.settings)).summary)

    def marker(self) -> Success | None:
        """The batch's success marker."""
        return asyncio.run(self._with(lambda store: read_success(store, f"sheet/{BATCH}")))

    def look(self) -> ArchiveContents:
        """All that the archive has of the batch, to the last byte."""

        async def looked(store: Store) -> ArchiveContents:
            [held] = await holdings(store)
            return await inspect(store, held, reading=ByteReading())

        return asyncio.run(self._with(looked))

    async def _with(self, ask: Callable[[Store], Awaitable[T]]) -> T:
        store = open_archive(self.settings)
        try:
            return await ask(store)
        finally:
            await store.aclose()


@pytest.fixture
def place() -> str:
    return "folder"


@pytest.fixture
def room(place: str, one_service: Service, gcs_server: str, tmp_path: Path, bare_forge: Forge) -> Room:
    given = {"home": str(tmp_path / "home"), "gemini_base_url": one_service.url}
    if place == "bucket":
        given |= {"archive": f"gs://bucket/{tmp_path.name}", "storage_emulator_host": gcs_server}
    (tmp_path / "sheet.csv").write_text(SHEET.replace(": ", f" {tmp_path.name} "))
    return Room(place, tmp_path, given, bare_forge)


def in_doubt(room: Room) -> int:
    """Pictures whose request was on its way when the process ended: these may be sent once more."""

    async def ask() -> int:
        async with await Ledger.open(room.settings.ledger_url, clock=Clock()) as ledger:
            return sum(job.state is JobState.SUBMITTING for job in await ledger.jobs_of(BATCH))

    return asyncio.run(ask())


@pytest.mark.parametrize(("place", "moment"), KILLS)
def test_the_next_run_ends_what_was_killed_without_anything_twice(
    moment: str, room: Room, one_service: Service
) -> None:
    before = one_service.counts()["accepted"]["image"]
    room.killed_at(moment)
    assert (room.marker() is not None) == (moment == "after the marker"), "it comes last"
    doubt = in_doubt(room)
    summary = room.run()
    assert (summary["exit_code"], summary["shots"]["done"]) == (0, 2)
    assert 3 <= one_service.counts()["accepted"]["image"] - before <= 3 + doubt
    evidence = room.look()
    assert findings(evidence) == ()
    assert isinstance(evidence.marker, Success)
    assert evidence.marker.complete
    files = Counter(name.split("/", 3)[3].partition("-")[0] for name in evidence.files if "/shots/" in name)
    assert files == {"kite/take": 2, "kite/thumb": 2, "kite/shot.json": 1, "cup/take": 1, "cup/shot.json": 1}
    rows = Counter((row["shot"], row["file"], row["sha256"]) for row in evidence.rows)
    assert len(rows) == 3
    assert set(rows.values()) == {1}


def test_a_run_killed_in_a_batch_that_was_complete_leaves_no_marker_that_calls_it_so(room: Room) -> None:
    room.run()
    before = room.marker()
    assert before is not None
    assert before.complete
    manifest = Path(room.request.manifest)
    manifest.write_text(f"{manifest.read_text()}lamp,{room.folder.name}: a lamp,1,9\n")
    room.killed_at("between files and sidecar")
    killed = room.marker()
    assert killed is not None
    assert (killed.status, killed.complete) == ("continuing", False)
    assert room.run()["shots"]["done"] == 3
    evidence = room.look()
    assert findings(evidence) == ()
    assert isinstance(evidence.marker, Success)
    assert (evidence.marker.complete, evidence.marker.shots["done"]) == (True, 3)
