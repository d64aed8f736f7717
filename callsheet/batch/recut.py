"""Social cuts on demand.

The batches and shots that are meant, and new cuts of their archived clips, for nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from callsheet.archive import layout
from callsheet.archive.catalogue import write_part
from callsheet.archive.claim import check_claim
from callsheet.archive.lineage import asset_of, list_files
from callsheet.archive.marker import Success
from callsheet.archive.open import open_archive
from callsheet.archive.search import find
from callsheet.archive.search_query import Query
from callsheet.archive.sidecar import CutRecord, Sidecar
from callsheet.archive.sidecar_io import in_order, read_sidecars, write_sidecar
from callsheet.archive.verify import ArchiveContents, findings, is_whole
from callsheet.batch.documents import write_gallery, write_marker
from callsheet.batch.open import open_for, to_repair
from callsheet.clock import Clock
from callsheet.concurrency import gather_all
from callsheet.context.context import RunContext
from callsheet.context.shot_state import ClipState, CutState, ShotState
from callsheet.cuts.encode.cut_plan import find_cut
from callsheet.cuts.framing.geometry import parse_focus
from callsheet.errors import SettingsError, UsageError
from callsheet.ledger import BatchRow, Ledger
from callsheet.platforms import PlatformSpec, load_platforms
from callsheet.reconcile.inspect import holdings, inspect
from callsheet.settings import Settings
from callsheet.shots import Asset, Batch, Mode
from callsheet.steps.cut_inputs import archived_hashes
from callsheet.steps.cuts import make_these
from callsheet.steps.sidecar import cut_record, shot_of


async def open_more_cuts(
    run: RunContext, names: Sequence[str], only: Collection[str] = (), focus: str | None = None
) -> list[ShotState]:
    """Return the work on shots whose clips lack cuts for some of these platforms.

    Those that are there count as reused.

    `only` limits it to some shots: SettingsError for one that the archive does not have. `focus` takes the place of
    the shots' own.
    """
    await check_claim(run.resources.store, run.batch, run.resources.ledger.identity)
    sidecars = await read_sidecars(run.resources.store, run.batch.prefix)
    if strange := set(only) - {one.shot for one in sidecars}:
        known = ", ".join(one.shot for one in sidecars[:20]) or "none"
        raise SettingsError(
            f"{run.batch.name} has no shot {', '.join(map(repr, sorted(strange)))} in the archive. Nothing was cut. "
            f"It has: {known}."
        )
    specs = list(dict.fromkeys(run.resources.platforms.get(name) for name in names))
    run.state.keep_sidecars({one.shot: (one, None) for one in sidecars if not only or one.shot in only})
    works = [_begin(run, sidecar, specs, focus) for sidecar, _ in run.state.sidecars.values()]
    run.state.begin(work for work in works if work.cuts)
    return list(run.state.work.values())


def _begin(run: RunContext, sidecar: Sidecar, specs: Sequence[PlatformSpec], focus: str | None) -> ShotState:
    folder = f"{run.resources.store.uri}/{layout.shot_folder(run.batch.prefix, sidecar.shot)}"
    files = [asset_of(sidecar, one, f"{folder}/{one.file.file}") for one in list_files(sidecar)]
    assets: dict[str, Asset] = {asset.name: asset for asset in files}
    run.state.set_assets(sidecar.shot, assets)
    work = ShotState(shot_of(sidecar))
    work.clips = [
        ClipState(clip.take, clip.job_key, asset=assets[clip.file.file]) for clip in sidecar.clips if clip.file
    ]
    finish = replace(work.shot.finish, focus=parse_focus(focus).text) if focus else work.shot.finish
    wanted = [CutState(spec, clip.take, finish) for clip in work.clips for spec in specs]
    clips = {clip.take: clip.asset.sha256 for clip in work.clips if clip.asset}
    work.cuts = [cut for cut in wanted if find_cut(files, clips[cut.take], cut.platform, cut.finish) is None]
    run.state.tally.count("cut", "reused", times=len(wanted) - len(work.cuts))
    return work


async def write_more_cuts(run: RunContext, work: ShotState) -> None:
    """Enter the shot's new cuts in its sidecar.

    One that could not be made is not entered; the summary tells it.
    """
    sidecar, _ = run.state.sidecars[work.shot.id]
    made = [cut_record(cut) for cut in work.cuts if cut.asset]
    new = sidecar.model_copy(update={"cuts": with_cuts(sidecar.cuts, made), "updated": datetime.now(UTC)})
    await write_sidecar(run.resources.store, run.batch.prefix, new)
    run.state.keep_sidecars({work.shot.id: (new, None)})


def with_cuts(there: Sequence[CutRecord], made: Sequence[CutRecord]) -> tuple[CutRecord, ...]:
    """Return the cuts of a shot with those just made, each platform of a clip once.

    The newer record counts.
    """
    every = {(cut.spec, cut.take): cut for cut in (*there, *made)}
    return tuple(every.values())


async def report_more_cuts(run: RunContext) -> dict[str, Any]:
    """List the new cuts in catalogue and gallery, and return what was done.

    The marker is made true of them. What a killed process had cut and not listed is listed now. The marker of a batch
    on which a run works is the run's.
    """
    store, batch = run.resources.store, run.batch
    before = await _evidence(run)
    if run.state.work or not is_whole(findings(before)):
        sidecars = in_order(list(before.believed.values()))
        await write_part(
            store, batch.name, sidecars, datetime.now(UTC).date(), cache=run.resources.settings.parts_cache
        )
        await write_gallery(run, sidecars)
        marker = before.marker
        damaged = frozenset(marker.damaged) if isinstance(marker, Success) else frozenset[str]()
        await write_marker(run, await _evidence(run), damaged)
        run.resources.spool.empty(archived_hashes(run))
    return _summary(run)


async def _evidence(run: RunContext) -> ArchiveContents:
    [held] = await holdings(run.resources.store, [run.batch.name])
    return await inspect(run.resources.store, held)


def _summary(run: RunContext) -> dict[str, Any]:
    failed, files = list[dict[str, Any]](), list[dict[str, Any]]()
    for work in run.state.work.values():
        for cut in work.cuts:
            # What a platform is called was `aspect` before there were platforms; others read it.
            told = {"shot": work.shot.id, "platform": cut.spec, "aspect": cut.spec}
            if cut.asset is not None:
                files.append({**told, "take": cut.take, "uri": cut.asset.uri})
            else:
                failed.append({**told, "why": cut.failure.message if cut.failure else "It was not made."})
    return {
        "batch": run.batch.name,
        "cuts": {**run.state.tally.as_json()["cuts"], "failed": len(failed)},
        "files": files,
        "failed": failed,
    }


Editions = Literal["newest", "all"]


@dataclass(frozen=True, slots=True)
class CutsRequest:
    """Which cuts are wanted, of which clips.

    Those of one batch, of a campaign, or whatever words find. Of a campaign its newest or all batches of a mode are
    meant; `words` and `tags` are looked for as `callsheet find` does, in clips of these batches, or of all of the mode.
    `shots` limits it to some shots. `focus` takes the place of the one that the manifest gave.
    """

    platforms: tuple[str, ...]
    batch: str | None = None
    campaign: str | None = None
    editions: Editions = "newest"
    mode: Mode = "live"
    shots: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    focus: str | None = None

    @property
    def searches(self) -> bool:
        """Return whether clips are looked for in the catalogue."""
        return bool(self.words or self.tags)


@dataclass(frozen=True, slots=True)
class ClipsToCut:
    """A batch and those of its shots whose clips are to be cut; () for all."""

    batch: Batch
    shots: tuple[str, ...] = ()


async def clips_to_cut(settings: Settings, asked: CutsRequest) -> list[ClipsToCut]:
    """Return the batches and shots that a request means, newest first.

    UsageError for one that cannot be met.
    """
    _check(settings, asked)
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        if asked.batch and not asked.searches:
            await ledger.batch_named(asked.batch, "Nothing was cut.")
        rows = sorted(await ledger.batches(), key=lambda row: row.created, reverse=True)
    meant = choose_batches(rows, asked)
    if not meant and not asked.searches:
        raise SettingsError(no_edition(rows, asked, "Nothing was cut."))
    if not asked.searches:
        return [ClipsToCut(batch, asked.shots) for batch in meant]
    found = await _find_shots(settings, asked)
    if not found:
        raise SettingsError(_nothing_found(asked))
    clips = [ClipsToCut(batch, found[batch.name]) for batch in meant if batch.name in found]
    if not clips:
        named = ", ".join(sorted(found)[:10])
        raise SettingsError(
            f"The archive has clips that fit, in {named}, but the ledger does not know "
            f"{'that batch' if len(found) == 1 else 'these batches'}. Nothing was cut. `callsheet ledger rebuild` "
            "enters what an archive has."
        )
    return clips


def choose_batches(rows: Sequence[BatchRow], asked: CutsRequest) -> list[Batch]:
    """Return the batches among these, newest first, that a request means."""
    if asked.batch:
        return [row.batch for row in rows if row.batch.name == asked.batch]
    of_mode = [row.batch for row in rows if row.batch.mode == asked.mode]
    if not asked.campaign:
        return of_mode
    found = [batch for batch in of_mode if batch.campaign == asked.campaign]
    return found[:1] if asked.editions == "newest" else found


async def more_cuts(settings: Settings, asked: CutsRequest) -> list[dict[str, Any]]:
    """Make the cuts, batch by batch.

    What was made, was there already or could not be made, of each.
    """
    made = []
    for clips in await clips_to_cut(settings, asked):
        async with open_for(to_repair(clips.batch, settings), settings) as run:
            works = await open_more_cuts(run, asked.platforms, clips.shots, asked.focus)
            await gather_all(_cut(run, work) for work in works)
            made.append(await report_more_cuts(run))
    return made


async def _cut(run: RunContext, work: ShotState) -> None:
    await make_these(run, work, work.cuts)
    await write_more_cuts(run, work)


async def _find_shots(settings: Settings, asked: CutsRequest) -> Mapping[str, tuple[str, ...]]:
    """Return the shots whose clips the words and tags find, by batch."""
    query = Query(
        words=asked.words,
        tags=asked.tags,
        campaigns=(asked.campaign,) if asked.campaign else (),
        batches=(asked.batch,) if asked.batch else (),
        shots=asked.shots,
        kinds=("clip",),
        mode=None if asked.batch else asked.mode,
    )
    store = open_archive(settings)
    try:
        found = await find(store, query, cache=settings.parts_cache)
    finally:
        await store.aclose()
    shots: dict[str, dict[str, None]] = defaultdict(dict)
    for batch, shot in found.assets.select("batch", "shot").iter_rows():
        shots[batch][shot] = None
    return {batch: tuple(names) for batch, names in shots.items()}


def _check(settings: Settings, asked: CutsRequest) -> None:
    if bool(asked.batch) and bool(asked.campaign):
        raise SettingsError("Name a batch or a campaign, one of the two. Nothing was cut.")
    if not (asked.batch or asked.campaign or asked.searches):
        raise SettingsError("Name a batch or a campaign, or give words to find clips by. Nothing was cut.")
    platforms = load_platforms(settings.platforms)
    if not asked.platforms:
        raise SettingsError(f"No platform was given. Nothing was cut. There are {', '.join(platforms.names)}.")
    for name in asked.platforms:
        platforms.get(name)
    if asked.focus is not None:
        try:
            parse_focus(asked.focus)
        except UsageError as error:
            raise SettingsError(f"{error} Nothing was cut.") from None


def no_edition(rows: Sequence[BatchRow], asked: CutsRequest, so: str) -> str:
    """Return the message that a campaign has no batch of the mode.

    `so` says what was not done.
    """
    known = ", ".join(row.batch.name for row in rows[:20]) or "none"
    return (
        f"The ledger has no campaign {asked.campaign!r} with {asked.mode} batches. {so} Its batches: {known}. "
        "`callsheet ledger rebuild` enters what an archive has."
    )


def _nothing_found(asked: CutsRequest) -> str:
    told = " ".join([*asked.words, *(f"--tag {tag}" for tag in asked.tags)])
    where = asked.batch or (f"campaign {asked.campaign}" if asked.campaign else f"{asked.mode} batches")
    return f"No clip in {where} fits {told!r}. Nothing was cut. `callsheet find {told} --kind clip` says what is near."
