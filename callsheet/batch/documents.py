"""The gallery page of a batch, written anew over its sidecars when something but a run has changed them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from callsheet.archive import layout
from callsheet.archive.marker import Success, write_success
from callsheet.archive.sidecar import Sidecar
from callsheet.archive.sidecar_io import in_order, sidecar_files
from callsheet.archive.spots import read_spots
from callsheet.archive.store import Store
from callsheet.archive.verify import ArchiveContents, Unreadable
from callsheet.context.context import RunContext
from callsheet.errors import ArchiveError
from callsheet.ledger import Ledger
from callsheet.report.page import gallery_html
from callsheet.report.view import BatchSummary, gallery_view
from callsheet.shots import Batch, ShotOutcome


async def write_page(store: Store, ledger: Ledger, batch: Batch, sidecars: Sequence[Sidecar]) -> None:
    """Write the batch's gallery over its sidecars, in their order, and its spots."""
    spent = await ledger.spent_on_batch(batch.name) or None
    told = BatchSummary(batch.campaign, batch.name, batch.mode, datetime.now(UTC), batch.edition, usd_spent=spent)
    spots, files = await read_spots(store, batch.prefix), await sidecar_files(store, batch.prefix)
    page = await asyncio.to_thread(lambda: gallery_html(gallery_view(list(sidecars), told, spots, files)).encode())
    await store.put_bytes(layout.document(batch.prefix, layout.GALLERY), page, "text/html; charset=utf-8")


PLAN_LIMIT = 256 << 20


async def write_gallery(run: RunContext, sidecars: Sequence[Sidecar]) -> None:
    """Write the batch's gallery over its sidecars."""
    await write_page(run.resources.store, run.resources.ledger, run.batch, sidecars)


async def write_marker(run: RunContext, evidence: ArchiveContents, lost: frozenset[str]) -> Success | None:
    """Write the marker over the sidecars of `evidence`, last of all.

    None when a run has to do it, or there are none.

    Shots of which something is `lost` count as pending, and so do those of the plan that have no sidecar.
    """
    marker = evidence.marker
    if isinstance(marker, Success) and marker.status == "continuing":
        return None
    if isinstance(marker, Unreadable) and marker.newer:
        return None
    planned = await _planned(run)
    believed = {one.shot: one for one in evidence.believed.values() if planned is None or one.shot in planned}
    if not believed:
        return None
    # What the last run called unfinished for reasons of its own stays so, whatever the sidecar says.
    earlier = set(marker.unfinished) - set(marker.damaged) if isinstance(marker, Success) else set()
    sidecars = [_pending(one) if one.shot in lost | earlier else one for one in in_order(list(believed.values()))]
    absent = [shot for shot in planned or () if shot not in believed]
    newest = list(evidence.parts)[-1] if evidence.parts else None
    named = marker.catalogue if isinstance(marker, Success) else newest
    hashes = {one.shot: evidence.hashes[name] for name, one in evidence.believed.items() if name in evidence.hashes}
    return await write_success(
        run.resources.store,
        run.batch.prefix,
        sidecars,
        catalogue=named if named in evidence.parts else newest,
        finished=datetime.now(UTC),
        hashes=hashes,
        absent=absent,
        damaged=sorted(lost),
        ledger=marker.ledger if isinstance(marker, Success) else None,
    )


def _pending(sidecar: Sidecar) -> Sidecar:
    done = sidecar.state == ShotOutcome.DONE.value
    return sidecar.model_copy(update={"state": ShotOutcome.PENDING.value}) if done else sidecar


async def _planned(run: RunContext) -> list[str] | None:
    """Return the shots of the batch's last plan; None when there is no plan to read."""
    name = layout.document(run.batch.prefix, layout.PLAN)
    try:
        plan = json.loads(await run.resources.store.read_bytes(name, PLAN_LIMIT))
        return [str(shot["shot"]) for shot in plan["shots"]]
    except (ArchiveError, ValueError, KeyError, TypeError):
        return None
