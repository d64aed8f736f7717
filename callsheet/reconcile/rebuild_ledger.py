"""Rebuilding a lost ledger from the sidecars of an archive.

What they tell is checked against the files themselves. Can be repeated, and beside runs: what the ledger has, in
whatever state, wins over what a sidecar tells.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from callsheet.archive import layout
from callsheet.archive.lineage import Listed, asset_of, list_files, thumbnails
from callsheet.archive.sidecar import Sidecar
from callsheet.archive.sidecar_io import read_sidecar
from callsheet.archive.store import Stat, Store
from callsheet.concurrency import gather_all, gather_bounded
from callsheet.errors import ArchiveDenied, ArchiveError, MediaError
from callsheet.ledger import Entered, Ledger, ShotRecords
from callsheet.media.probe import probe_image
from callsheet.providers.routing import Scopes
from callsheet.reconcile.sidecar_check import batch_of, check
from callsheet.reconcile.sidecar_rows import ShotPlace, shot_records
from callsheet.shots import Asset, Batch, Mode

log = logging.getLogger(__name__)

AT_ONCE = 16
THUMBNAIL_LIMIT = 1 << 20
DOCUMENT_LIMIT = 256 << 20


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A file of the archive that was not believed, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Records:
    """The two records of a batch: a ledger, and an archive that is held against it.

    `scopes` says whose quota the requests of each mode used.
    """

    ledger: Ledger
    store: Store
    scopes: Mapping[Mode, Scopes]


@dataclass
class Rebuilt:
    """What was entered.

    `refused`: sidecars that were not believed; `missing`: files that are not as they tell.
    """

    batches: int = 0
    shots: int = 0
    jobs: int = 0
    assets: int = 0
    sidecars: int = 0
    refused: list[Doubtful] = field(default_factory=list)
    missing: list[Doubtful] = field(default_factory=list)

    def count(self, entered: Entered) -> None:
        """Add what one sidecar gave."""
        self.sidecars += 1
        self.shots += entered.shots
        self.jobs += entered.jobs
        self.assets += entered.assets


@dataclass(frozen=True, slots=True)
class _Order:
    """The shots of a batch's last plan, in the manifest's order.

    None when there is no plan to read.
    """

    shots: tuple[str, ...] | None

    def place_of(self, sidecar: Sidecar) -> ShotPlace:
        is_there = self.shots is not None and sidecar.shot in self.shots
        position = self.shots.index(sidecar.shot) if self.shots and is_there else sidecar.line
        return ShotPlace(position, dropped=self.shots is not None and not is_there)


async def rebuild(ledger: Ledger, store: Store, scopes: Mapping[Mode, Scopes], only: Batch | None = None) -> Rebuilt:
    """Enter all that the archive's sidecars tell, or those of one batch.

    `scopes` says whose quota the requests of each mode used. Raises ArchiveError when the archive cannot be read at
    all, LedgerError when nothing can be written.
    """
    names = await store.stats(f"{only.prefix}/" if only else "")
    rebuilt = Rebuilt()
    sidecars = await read_believed(store, [name for name in names if layout.is_sidecar(name)], rebuilt)
    await enter_sidecars(Records(ledger, store, scopes), sidecars, names, rebuilt)
    return rebuilt


async def read_believed(store: Store, names: Sequence[str], rebuilt: Rebuilt) -> list[Sidecar]:
    """Return the sidecars with these names that can be believed.

    The others are noted as refused.
    """
    found = await gather_bounded(AT_ONCE, (_read(store, name, rebuilt) for name in names))
    return [one for one in found if one]


async def enter_sidecars(
    records: Records, sidecars: Sequence[Sidecar], names: Mapping[str, Stat], rebuilt: Rebuilt
) -> None:
    """Enter what these sidecars tell, and count it.

    Of their files those are entered that are among `names` as told.
    """
    ledger, store = records.ledger, records.store
    believed = sorted(sidecars, key=lambda one: (one.updated, one.batch, one.line, one.shot))
    batches = {one.batch: batch_of(one) for one in believed}
    for batch in batches.values():
        rebuilt.batches += await ledger.enter_batch(await _with_manifest(store, batch, names))
    folders = defaultdict[str, list[str]](list)
    for name in names:
        folder, _, file = name.rpartition("/")
        folders[folder].append(file)
    orders = {name: await _order(store, batch) for name, batch in batches.items()}

    async def records_of(sidecar: Sidecar) -> ShotRecords:
        order = orders[sidecar.batch]
        assets = await _verified(store, sidecar, names, rebuilt)
        scope = records.scopes[sidecar.mode]
        rows = shot_records(sidecar, assets, order.place_of(sidecar), scope=scope, ledger=ledger.identity)
        return replace(rows, listed=tuple(folders[layout.shot_folder(batches[sidecar.batch].prefix, sidecar.shot)]))

    shots = await gather_bounded(AT_ONCE, map(records_of, believed))
    # In order, so that a job of several batches belongs to the oldest where its sidecars do not say whose it is.
    for entered in await gather_all(ledger.enter_shot(one) for one in shots):
        rebuilt.count(entered)


async def _read(store: Store, name: str, rebuilt: Rebuilt) -> Sidecar | None:
    try:
        sidecar = await read_sidecar(store, name)
        check(name, sidecar)
    except ArchiveDenied:
        raise
    except ArchiveError as error:
        rebuilt.refused.append(Doubtful(name, str(error)))
        return None
    return sidecar


async def _with_manifest(store: Store, batch: Batch, names: Iterable[str]) -> Batch:
    """Return the batch with its archived manifest.

    Where the original was, no sidecar says; the next run does.
    """
    copies = [name for name in names if layout.is_manifest(batch.prefix, name)]
    if not copies:
        return batch
    data = await store.read_bytes(copies[0], DOCUMENT_LIMIT)
    uri = f"{store.uri}/{copies[0]}"
    if copies[0].endswith((".xlsx", ".xlsm")) and (sheet := (await _read_plan(store, batch)).get("sheet")):
        uri = f"{uri}#{sheet}"
    return replace(batch, manifest_uri=uri, manifest_sha256=hashlib.sha256(data).hexdigest())


async def _order(store: Store, batch: Batch) -> _Order:
    plan = await _read_plan(store, batch)
    try:
        return _Order(tuple(str(shot["shot"]) for shot in plan["shots"]))
    except (KeyError, TypeError):
        return _Order(None)


async def _read_plan(store: Store, batch: Batch) -> dict[str, Any]:
    """Return the batch's plan.json, {} when it cannot be read."""
    name = layout.document(batch.prefix, layout.PLAN)
    try:
        plan = json.loads(await store.read_bytes(name, DOCUMENT_LIMIT))
    except (ArchiveError, ValueError) as error:
        log.info("%s cannot be read, so the shots are in the order of their lines: %s", name, error)
        return {}
    return plan if isinstance(plan, dict) else {}


async def _verified(store: Store, sidecar: Sidecar, names: Mapping[str, Stat], rebuilt: Rebuilt) -> list[Asset]:
    """Return the assets whose files have the size and md5 that the sidecar tells."""
    folder = layout.shot_folder(batch_of(sidecar).prefix, sidecar.shot)
    assets = []
    for one in list_files(sidecar):
        name = f"{folder}/{one.file.file}"
        found = names.get(name)
        if found is not None and not found.md5:
            found = await store.stat(name)
        if found == Stat(one.file.size, one.file.md5):
            assets.append(asset_of(sidecar, one, f"{store.uri}/{name}"))
        elif found is not None or not one.can_be_gone:
            rebuilt.missing.append(Doubtful(name, _how_different(one, found)))
    for thumbnail, parent in thumbnails((*sidecar.earlier_takes, *sidecar.takes)).items():
        if f"{folder}/{thumbnail}" in names:
            assets += await _thumbnail(store, sidecar, f"{folder}/{thumbnail}", parent)
    return list({asset.name: asset for asset in assets}.values())


def _how_different(one: Listed, found: Stat | None) -> str:
    again = "`callsheet recover` looks for its bytes." if one.part else "The next run of its shot makes it again."
    if found is None:
        return f"It is not there. {again}"
    told = f"not {one.file.size} with {one.file.md5}"
    return f"It has {found.size} bytes with md5 {found.md5}, {told}. Move it away. {again}"


async def _thumbnail(store: Store, sidecar: Sidecar, name: str, parent: str) -> list[Asset]:
    """Return a thumbnail, of which a sidecar has only the name.

    It is small, and read to know it. [] when it is no picture.
    """
    try:
        data = await store.read_bytes(name, THUMBNAIL_LIMIT)
        probe = probe_image(data)
    except (ArchiveError, MediaError) as error:
        log.info("The thumbnail %s was left out: %s", name, error)
        return []
    digest, md5 = hashlib.sha256(data).hexdigest(), hashlib.md5(data, usedforsecurity=False).hexdigest()
    file = name.rpartition("/")[2]
    if digest[:12] not in file:
        return []
    return [
        Asset(
            "thumbnail", sidecar.batch, sidecar.shot, file, digest, md5, len(data), probe.mime_type,
            f"{store.uri}/{name}", sidecar.updated, probe.width, probe.height, parent=parent,
        )
    ]  # fmt: skip
