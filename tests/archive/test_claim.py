"""A claim on a batch is one ledger's, whatever the archive is kept on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from callsheet.archive.claim import claim_batch, read_claim, release_batch, take_over_batch
from callsheet.archive.open import open_archive
from callsheet.archive.store import Store
from callsheet.clock import Clock
from callsheet.errors import SettingsError
from callsheet.ledger import Ledger
from callsheet.settings import load_settings
from callsheet.shots import Batch

BATCH = Batch("sheet", None, "live")


@pytest.mark.parametrize("place", ["folder", "bucket"])
async def test_of_ledgers_that_claim_at_once_one_has_the_batch(tmp_path: Path, gcs_server: str, place: str) -> None:
    uri = str(tmp_path / "archive") if place == "folder" else f"gs://bucket/{tmp_path.name}"
    store: Store = open_archive(load_settings(archive=uri, storage_emulator_host=gcs_server))
    try:
        asked = [claim_batch(store, BATCH, f"ledger-{n}") for n in range(6)]
        got = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(one is True for one in got) == 1
        assert sum(isinstance(one, SettingsError) for one in got) == 5
        mine, other = f"ledger-{got.index(True)}", "ledger-7"
        assert await claim_batch(store, BATCH, mine) is False, "its own ledger goes on under it"
        await release_batch(store, BATCH, other)
        assert await read_claim(store, BATCH) is not None
        taken = await take_over_batch(store, BATCH, other)
        assert taken is not None
        assert taken.ledger == mine
        assert await claim_batch(store, BATCH, other) is True
        await release_batch(store, BATCH, other)
        assert await read_claim(store, BATCH) is None
    finally:
        await store.aclose()


async def test_only_the_last_run_of_a_ledger_at_work_on_a_batch_is_told_so(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    async with (
        await Ledger.open(url, clock=Clock()) as one,
        await Ledger.open(url, clock=Clock()) as two,
        await Ledger.open(url, clock=Clock(), owner="elsewhere:1:1:dead", lease_s=0) as lost,
    ):
        for ledger in (one, two, lost):
            await ledger.enter_run("sheet.live")
        await one.enter_run("sheet.live")
        await two.enter_run("other.live")
        assert not await one.leave_run("sheet.live")
        assert await two.leave_run("sheet.live"), "a lease that is over keeps nobody"
        assert await one.leave_run("sheet.live")
        async with await Ledger.open(url, clock=Clock()) as three:
            await three.enter_run("sheet.live")
            assert not await two.leave_run("sheet.live")
        assert await two.leave_run("sheet.live"), "what is closed is not at work"
