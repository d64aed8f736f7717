"""Social cuts on demand: the batches that are meant, and new cuts of their archived clips, for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from callsheet.care import open_mending
from callsheet.clock import Clock
from callsheet.cutting.plan import CUT_SPECS
from callsheet.errors import SettingsError
from callsheet.ledger import BatchRow, Ledger
from callsheet.settings import Settings
from callsheet.shots import Batch, Mode
from callsheet.steps import all_of
from callsheet.steps.cuts import make_cuts
from callsheet.steps.more_cuts import open_more_cuts, report_more_cuts, write_more_cuts
from callsheet.steps.work import Work
from callsheet.studio import Studio

Editions = Literal["newest", "all"]


@dataclass(frozen=True, slots=True)
class CutsRequest:
    """Which cuts are wanted, of which clips: those of one batch, or of a campaign's newest or all batches of a mode.

    `shots` limits it to some shots.
    """

    aspects: tuple[str, ...]
    batch: str | None = None
    campaign: str | None = None
    editions: Editions = "newest"
    mode: Mode = "live"
    shots: tuple[str, ...] = ()


async def batches_to_cut(settings: Settings, asked: CutsRequest) -> list[Batch]:
    """The batches that a request means, newest first; SettingsError for one that cannot be met."""
    _check(asked)
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        rows = sorted(await ledger.batches(), key=lambda row: row.created, reverse=True)
    found = chosen(rows, asked)
    if not found:
        raise SettingsError(_no_batch(rows, asked))
    return found


def chosen(rows: Sequence[BatchRow], asked: CutsRequest) -> list[Batch]:
    """The batches among these, newest first, that a request means."""
    if asked.batch:
        return [row.batch for row in rows if row.batch.name == asked.batch]
    found = [row.batch for row in rows if row.batch.campaign == asked.campaign and row.batch.mode == asked.mode]
    return found[:1] if asked.editions == "newest" else found


async def more_cuts(settings: Settings, asked: CutsRequest) -> list[dict[str, Any]]:
    """Make the cuts, batch by batch; what was made, was there already or could not be made, of each."""
    made = []
    for batch in await batches_to_cut(settings, asked):
        async with open_mending(settings, batch) as studio:
            works = await open_more_cuts(studio, asked.aspects, asked.shots)
            await all_of(_cut(studio, work) for work in works)
            made.append(await report_more_cuts(studio))
    return made


async def _cut(studio: Studio, work: Work) -> None:
    await make_cuts(studio, work)
    await write_more_cuts(studio, work)


def _check(asked: CutsRequest) -> None:
    if bool(asked.batch) == bool(asked.campaign):
        raise SettingsError("Name a batch or a campaign, one of the two. Nothing was cut.")
    strange = [aspect for aspect in asked.aspects if aspect not in CUT_SPECS]
    if strange or not asked.aspects:
        told = f"{strange[0]!r} is not an aspect to cut to" if strange else "No aspect was given"
        raise SettingsError(f"{told}. Nothing was cut. There are {', '.join(CUT_SPECS)}.")


def _no_batch(rows: Sequence[BatchRow], asked: CutsRequest) -> str:
    what = f"batch {asked.batch!r}" if asked.batch else f"campaign {asked.campaign!r} with {asked.mode} batches"
    known = ", ".join(row.batch.name for row in rows[:20]) or "none"
    return f"The ledger has no {what}. Nothing was cut. Its batches: {known}."
