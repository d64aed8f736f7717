"""What the ledger knows of how cuts were made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from callsheet.clock import Clock
from callsheet.ledger import Ledger
from callsheet.shots import Asset, Batch

BATCH = Batch("ads", None, "rehearsal", "m.csv", "0" * 64)
CUT = Asset(
    kind="cut",
    batch=BATCH.name,
    shot="kite",
    name="cut-reels-aaaaaaaaaaaa.mp4",
    sha256="a" * 64,
    md5="b" * 32,
    size=10,
    mime_type="video/mp4",
    uri="file",
    created=datetime(2026, 11, 21, tzinfo=UTC),
    parent="c" * 64,
)


async def test_a_cut_made_by_another_recipe_with_the_same_bytes_is_known_by_the_newer_one(tmp_path: Path) -> None:
    async with await Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=Clock()) as ledger:
        await ledger.open_batch(BATCH, [("kite", 0)], {})
        for recipe in ("1" * 64, "2" * 64, None):
            await ledger.add_assets([replace(CUT, recipe=recipe, details={"how": "crop", "crop": [0, 0, 2, 2]})])
        [found] = await ledger.assets_of(BATCH.name)
    assert (found.recipe, found.details) == ("2" * 64, {"how": "crop", "crop": [0, 0, 2, 2]})
