"""The survey: what ledger and archive already know of a batch, read before anything is made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from callsheet.archive.layout import SIDECAR, folder_name
from callsheet.archive.store import Store
from callsheet.ledger import Ledger
from callsheet.orders import take_order
from callsheet.plan import Known, ShotPlan, clip_keys
from callsheet.shots import Asset, Batch, Shot


async def survey(ledger: Ledger, store: Store, batch: Batch, shots: Sequence[Shot]) -> Known:
    """The jobs that the shots would need, the batch's assets, and the names of the files that are really there."""
    keys = [take_order(batch, shot, take).key for shot in shots for take in range(1, shot.takes + 1)]
    jobs = await ledger.jobs(keys)
    pictures = Known(jobs=jobs)
    clips = [key for shot in shots if shot.motion_prompt for _, key in clip_keys(batch, shot, pictures)]
    by_shot: dict[str, list[Asset]] = defaultdict(list)
    for asset in await ledger.assets_of(batch.name):
        by_shot[asset.shot].append(asset)
    names = await store.list(f"{batch.prefix}/")
    return Known(
        jobs={**jobs, **await ledger.jobs(clips)},
        assets={shot: tuple(assets) for shot, assets in by_shot.items()},
        files=frozenset(name.removeprefix(f"{batch.prefix}/") for name in names),
    )


def is_whole(item: ShotPlan, files: Collection[str]) -> bool:
    """Whether nothing is left to do for a shot: all that it wants is in the archive, and its sidecar too.

    `files` are the names in the batch's folder.
    """
    return item.complete and f"shots/{folder_name(item.shot.id)}/{SIDECAR}" in files
