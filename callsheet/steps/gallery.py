"""The gallery page of a batch, written anew over its sidecars when something but a run has changed them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from callsheet.archive import layout
from callsheet.archive.sidecar import Sidecar
from callsheet.archive.spots import read_spots
from callsheet.archive.store import Store
from callsheet.ledger import Ledger
from callsheet.report.gallery import gallery_html
from callsheet.report.view import BatchSummary, gallery_view
from callsheet.shots import Batch


async def write_page(store: Store, ledger: Ledger, batch: Batch, sidecars: Sequence[Sidecar]) -> None:
    """Write the batch's gallery over its sidecars, in their order, and its spots."""
    spent = await ledger.spent_on_batch(batch.name) or None
    told = BatchSummary(batch.campaign, batch.name, batch.mode, datetime.now(UTC), batch.edition, usd_spent=spent)
    spots = await read_spots(store, batch.prefix)
    page = await asyncio.to_thread(lambda: gallery_html(gallery_view(list(sidecars), told, spots)).encode())
    await store.put_bytes(layout.document(batch.prefix, layout.GALLERY), page, "text/html; charset=utf-8")
