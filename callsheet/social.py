"""Social cuts on demand: the batches and shots that are meant, and new cuts of their archived clips, for nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from callsheet.archive.open import open_archive
from callsheet.archive.search import find
from callsheet.archive.search_query import Query
from callsheet.care import open_mending
from callsheet.clock import Clock
from callsheet.concurrency import all_of
from callsheet.errors import SettingsError, UsageError
from callsheet.framing.focus import parse_focus
from callsheet.ledger import BatchRow, Ledger
from callsheet.platforms import load_platforms
from callsheet.settings import Settings
from callsheet.shots import Batch, Mode
from callsheet.steps.cuts import make_these
from callsheet.steps.more_cuts import open_more_cuts, report_more_cuts, write_more_cuts
from callsheet.steps.work import Work
from callsheet.studio import Studio

Editions = Literal["newest", "all"]


@dataclass(frozen=True, slots=True)
class CutsRequest:
    """Which cuts are wanted, of which clips: those of one batch, of a campaign, or whatever words find.

    Of a campaign its newest or all batches of a mode are meant; `words` and `tags` are looked for as `callsheet find`
    does, in clips of these batches, or of all of the mode. `shots` limits it to some shots. `focus` takes the place of
    the one that the manifest gave.
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
        """Whether clips are looked for in the catalogue."""
        return bool(self.words or self.tags)


@dataclass(frozen=True, slots=True)
class ClipsToCut:
    """A batch and those of its shots whose clips are to be cut; () for all."""

    batch: Batch
    shots: tuple[str, ...] = ()


async def clips_to_cut(settings: Settings, asked: CutsRequest) -> list[ClipsToCut]:
    """The batches and shots that a request means, newest first; UsageError for one that cannot be met."""
    _check(settings, asked)
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        rows = sorted(await ledger.batches(), key=lambda row: row.created, reverse=True)
    meant = chosen(rows, asked)
    if not meant and not asked.searches:
        raise SettingsError(_no_batch(rows, asked))
    if not asked.searches:
        return [ClipsToCut(batch, asked.shots) for batch in meant]
    found = await _found(settings, asked)
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


def chosen(rows: Sequence[BatchRow], asked: CutsRequest) -> list[Batch]:
    """The batches among these, newest first, that a request means."""
    if asked.batch:
        return [row.batch for row in rows if row.batch.name == asked.batch]
    of_mode = [row.batch for row in rows if row.batch.mode == asked.mode]
    if not asked.campaign:
        return of_mode
    found = [batch for batch in of_mode if batch.campaign == asked.campaign]
    return found[:1] if asked.editions == "newest" else found


async def more_cuts(settings: Settings, asked: CutsRequest) -> list[dict[str, Any]]:
    """Make the cuts, batch by batch; what was made, was there already or could not be made, of each."""
    made = []
    for clips in await clips_to_cut(settings, asked):
        async with open_mending(settings, clips.batch) as studio:
            works = await open_more_cuts(studio, asked.platforms, clips.shots, asked.focus)
            await all_of(_cut(studio, work) for work in works)
            made.append(await report_more_cuts(studio))
    return made


async def _cut(studio: Studio, work: Work) -> None:
    await make_these(studio, work, work.cuts)
    await write_more_cuts(studio, work)


async def _found(settings: Settings, asked: CutsRequest) -> Mapping[str, tuple[str, ...]]:
    """The shots whose clips the words and tags find, by batch."""
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


def _no_batch(rows: Sequence[BatchRow], asked: CutsRequest) -> str:
    what = f"batch {asked.batch!r}" if asked.batch else f"campaign {asked.campaign!r} with {asked.mode} batches"
    known = ", ".join(row.batch.name for row in rows[:20]) or "none"
    return f"The ledger has no {what}. Nothing was cut. Its batches: {known}."


def _nothing_found(asked: CutsRequest) -> str:
    told = " ".join([*asked.words, *(f"--tag {tag}" for tag in asked.tags)])
    where = asked.batch or (f"campaign {asked.campaign}" if asked.campaign else f"{asked.mode} batches")
    return f"No clip in {where} fits {told!r}. Nothing was cut. `callsheet find {told} --kind clip` says what is near."
