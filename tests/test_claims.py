"""A claim on a batch is one ledger's, whatever the archive is kept on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from callsheet.archive.claim import claim_batch, read_claim, release_batch, take_over_batch
from callsheet.archive.store import Store, open_archive
from callsheet.errors import SettingsError
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
