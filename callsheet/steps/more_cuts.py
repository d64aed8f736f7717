"""Cuts made anew of archived clips, beside those that the manifest asks for. Nothing here is paid for.

Files first, then the shot's sidecar, then catalogue, gallery and marker, as in a run.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from callsheet.archive import layout
from callsheet.archive.catalogue import write_part
from callsheet.archive.claim import check_claim
from callsheet.archive.lineage import asset_of, listed
from callsheet.archive.marker import Success
from callsheet.archive.sidecar import CutRecord, Sidecar
from callsheet.archive.sidecar_io import in_order, read_sidecars, write_sidecar
from callsheet.archive.verify import Evidence, findings, is_whole
from callsheet.cutting.recipe import find_cut
from callsheet.errors import SettingsError
from callsheet.framing.focus import parse_focus
from callsheet.platforms import PlatformSpec
from callsheet.shots import Asset
from callsheet.steps.inputs import archived_hashes
from callsheet.steps.inspection import holdings, inspect
from callsheet.steps.records import cut_record
from callsheet.steps.remake import shot_of
from callsheet.steps.repair_records import write_gallery, write_marker
from callsheet.steps.work import ClipWork, CutWork, Work
from callsheet.studio import Studio


async def open_more_cuts(
    studio: Studio, names: Sequence[str], only: Collection[str] = (), focus: str | None = None
) -> list[Work]:
    """The work on shots whose clips lack cuts for some of these platforms; those that are there count as reused.

    `only` limits it to some shots: SettingsError for one that the archive does not have. `focus` takes the place of
    the shots' own.
    """
    await check_claim(studio.store, studio.batch, studio.ledger.identity)
    sidecars = await read_sidecars(studio.store, studio.batch.prefix)
    if strange := set(only) - {one.shot for one in sidecars}:
        known = ", ".join(one.shot for one in sidecars[:20]) or "none"
        raise SettingsError(
            f"{studio.batch.name} has no shot {', '.join(map(repr, sorted(strange)))} in the archive. Nothing was cut. "
            f"It has: {known}."
        )
    specs = list(dict.fromkeys(studio.platforms.get(name) for name in names))
    studio.sidecars = {one.shot: (one, None) for one in sidecars if not only or one.shot in only}
    works = [_begin(studio, sidecar, specs, focus) for sidecar, _ in studio.sidecars.values()]
    studio.work = {work.shot.id: work for work in works if work.cuts}
    return list(studio.work.values())


def _begin(studio: Studio, sidecar: Sidecar, specs: Sequence[PlatformSpec], focus: str | None) -> Work:
    folder = f"{studio.store.uri}/{layout.shot_folder(studio.batch.prefix, sidecar.shot)}"
    files = [asset_of(sidecar, one, f"{folder}/{one.file.file}") for one in listed(sidecar)]
    assets: dict[str, Asset] = {asset.name: asset for asset in files}
    studio.assets[sidecar.shot] = assets
    work = Work(shot_of(sidecar))
    work.clips = [
        ClipWork(clip.take, clip.job_key, asset=assets[clip.file.file]) for clip in sidecar.clips if clip.file
    ]
    finish = replace(work.shot.finish, focus=parse_focus(focus).text) if focus else work.shot.finish
    wanted = [CutWork(spec, clip.take, finish) for clip in work.clips for spec in specs]
    clips = {clip.take: clip.asset.sha256 for clip in work.clips if clip.asset}
    work.cuts = [cut for cut in wanted if find_cut(files, clips[cut.take], cut.platform, cut.finish) is None]
    studio.tally.made["cut", "reused"] += len(wanted) - len(work.cuts)
    return work


async def write_more_cuts(studio: Studio, work: Work) -> None:
    """Enter the shot's new cuts in its sidecar. One that could not be made is not entered; the summary tells it."""
    sidecar, _ = studio.sidecars[work.shot.id]
    made = [cut_record(cut) for cut in work.cuts if cut.asset]
    new = sidecar.model_copy(update={"cuts": with_cuts(sidecar.cuts, made), "updated": datetime.now(UTC)})
    await write_sidecar(studio.store, studio.batch.prefix, new)
    studio.sidecars[work.shot.id] = new, None


def with_cuts(there: Sequence[CutRecord], made: Sequence[CutRecord]) -> tuple[CutRecord, ...]:
    """The cuts of a shot with those just made, each platform of a clip once: the newer record counts."""
    every = {(cut.spec, cut.take): cut for cut in (*there, *made)}
    return tuple(every.values())


async def report_more_cuts(studio: Studio) -> dict[str, Any]:
    """List the new cuts in catalogue and gallery, make the marker true of them, and return what was done.

    What a killed process had cut and not listed is listed now. The marker of a batch on which a run works is the run's.
    """
    store, batch = studio.store, studio.batch
    before = await _evidence(studio)
    if studio.work or not is_whole(findings(before)):
        sidecars = in_order(list(before.believed.values()))
        await write_part(store, batch.name, sidecars, datetime.now(UTC).date(), cache=studio.settings.parts_cache)
        await write_gallery(studio, sidecars)
        marker = before.marker
        damaged = frozenset(marker.damaged) if isinstance(marker, Success) else frozenset[str]()
        await write_marker(studio, await _evidence(studio), damaged)
        studio.spool.empty(archived_hashes(studio))
    return _summary(studio)


async def _evidence(studio: Studio) -> Evidence:
    [held] = await holdings(studio.store, [studio.batch.name])
    return await inspect(studio.store, held)


def _summary(studio: Studio) -> dict[str, Any]:
    failed, files = list[dict[str, Any]](), list[dict[str, Any]]()
    for work in studio.work.values():
        for cut in work.cuts:
            # What a platform is called was `aspect` before there were platforms; others read it.
            told = {"shot": work.shot.id, "platform": cut.spec, "aspect": cut.spec}
            if cut.asset is not None:
                files.append({**told, "take": cut.take, "uri": cut.asset.uri})
            else:
                failed.append({**told, "why": cut.failure.message if cut.failure else "It was not made."})
    return {
        "batch": studio.batch.name,
        "cuts": {**studio.tally.as_json()["cuts"], "failed": len(failed)},
        "files": files,
        "failed": failed,
    }
