"""Contact sheets: the takes of several shots on one picture, the chosen ones marked, from archived thumbnails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice

from callsheet.archive.layout import shot_folder
from callsheet.archive.sidecar import Sidecar, TakeRecord
from callsheet.archive.store import Store
from callsheet.media.sheet import SheetItem, contact_sheet

TAKES_PER_SHEET = 24
THUMBNAIL_LIMIT = 1 << 20


async def contact_sheets(store: Store, prefix: str, sidecars: Sequence[Sidecar], most: int) -> list[tuple[str, bytes]]:
    """At most `most` sheets as (label, JPEG); takes without a thumbnail (single stills) are left to the gallery."""
    wanted = [(one, take) for one in sidecars for take in one.takes if take.file and take.file.thumbnail]
    groups = [wanted[start : start + TAKES_PER_SHEET] for start in range(0, len(wanted), TAKES_PER_SHEET)]
    sheets = []
    for group in islice(groups, most):
        items = await asyncio.gather(*(_item(store, prefix, sidecar, take) for sidecar, take in group))
        label = f"{group[0][0].shot} to {group[-1][0].shot}"
        sheets.append((label, await asyncio.to_thread(contact_sheet, items)))
    return sheets


async def _item(store: Store, prefix: str, sidecar: Sidecar, take: TakeRecord) -> SheetItem:
    assert take.file is not None  # noqa: S101  only takes with a thumbnail are asked for
    data = await store.read_bytes(f"{shot_folder(prefix, sidecar.shot)}/{take.file.thumbnail}", THUMBNAIL_LIMIT)
    rejected = take.score.rejected if take.score else None
    rank = f"rank {take.score.rank:.2f}" if take.score and take.score.rank is not None else ""
    label = f"{sidecar.shot} / take {take.take}"
    return SheetItem(data, label, rejected or rank, chosen=take.chosen, rejected=rejected is not None)
