"""What it costs to ask the archive: one listing, and sidecars of what the ledger does not know alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callsheet.archive import layout
from callsheet.archive.sidecar import FileRecord, TakeRecord
from callsheet.archive.sidecar_io import sidecar_bytes
from callsheet.archive.store import Stat
from callsheet.archive.store_local import LocalStore
from callsheet.batch.survey import survey
from callsheet.clock import Clock
from callsheet.context.shot_state import ShotState
from callsheet.ledger import Ledger
from callsheet.plan import Known
from callsheet.plan.requests import take_order
from callsheet.providers.routing import scope_of
from callsheet.reconcile.rebuild_ledger import Records
from callsheet.reconcile.sidecar_rows import job_of
from callsheet.settings import load_settings
from callsheet.shots import Batch, Shot, ShotOutcome
from callsheet.steps.sidecar import job_record, sidecar_of

NOW = datetime(2026, 11, 30, tzinfo=UTC)
BATCH = Batch("lamps", None, "live", "lamps.csv", "0" * 64)


class CountedStore(LocalStore):
    """A folder that counts what is asked of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.calls = Counter[str]()

    async def stats(self, prefix: str) -> dict[str, Stat]:
        self.calls["stats"] += 1
        return await super().stats(prefix)

    async def list(self, prefix: str) -> tuple[str, ...]:
        self.calls["list"] += 1
        return await super().list(prefix)

    async def read_bytes(self, name: str, limit: int) -> bytes:
        self.calls["sidecar" if layout.is_sidecar(name) else "other"] += 1
        return await super().read_bytes(name, limit)


def archived_batch(root: Path, count: int) -> list[Shot]:
    """The shots of a batch of single stills whose files and sidecars are in the archive at `root`."""
    shots = [Shot(f"s{n}", n + 2, f"A lamp number {n}", "gemini-nano-banana-2.1", "1:1", "1K", 1) for n in range(count)]
    for shot in shots:
        data = shot.prompt.encode()
        digest, md5 = hashlib.sha256(data).hexdigest(), hashlib.md5(data, usedforsecurity=False).hexdigest()
        folder = root / layout.shot_folder(BATCH.prefix, shot.id)
        folder.mkdir(parents=True)
        name = layout.take_name(1, digest, "image/png")
        (folder / name).write_bytes(data)
        file = FileRecord(
            file=name,
            sha256=digest,
            md5=md5,
            size=len(data),
            mime_type="image/png",
            uri=str(folder / name),
            created=NOW,
        )
        order = take_order(BATCH, shot, 1)
        take = TakeRecord(take=1, job_key=order.key, file=file, usd=0.05)
        sidecar = sidecar_of(BATCH, ShotState(shot), ShotOutcome.DONE, NOW).model_copy(update={"takes": (take,)})
        found = job_of(sidecar, take, lambda _: "scope")
        assert found is not None
        job = job_record(found[0]).model_copy(update={"request": dict(order.request)})
        whole = sidecar.model_copy(update={"takes": (take.model_copy(update={"job": job}),)})
        (folder / layout.SIDECAR).write_bytes(sidecar_bytes(whole))
    return shots


async def asked(home: Path, root: Path, shots: list[Shot]) -> tuple[Known, Counter[str]]:
    """What is known of the batch with the ledger in `home`, and what was asked of the archive for it."""
    settings, store = load_settings(home=home), CountedStore(root)
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        known = await survey(Records(ledger, store, {"live": scope_of(settings, "live")}), BATCH, shots)
    return known, store.calls


@pytest.mark.parametrize("count", [30, 60])
async def test_a_lost_ledger_reads_each_sidecar_once_and_the_next_time_none(tmp_path: Path, count: int) -> None:
    shots = archived_batch(tmp_path / "archive", count)
    known, calls = await asked(tmp_path / "home", tmp_path / "archive", shots)
    assert {job.state.value for job in known.jobs.values()} == {"stored"}
    assert (len(known.jobs), calls["sidecar"], calls["stats"]) == (count, count, 1)
    assert calls["other"] + calls["list"] <= 3, "the plan, and no more however many shots there are"
    again, calls = await asked(tmp_path / "home", tmp_path / "archive", shots)
    assert (len(again.jobs), dict(calls)) == (count, {"stats": 1})
