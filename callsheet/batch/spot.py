"""Spots on demand: what is to be joined, of which batch, for nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from callsheet.archive import layout
from callsheet.archive.sidecar_io import read_sidecars
from callsheet.archive.spots import SPOT_NAME
from callsheet.batch.documents import write_page
from callsheet.batch.open import open_for, to_repair
from callsheet.batch.recut import CutsRequest, choose_batches, no_edition
from callsheet.clock import Clock
from callsheet.errors import SettingsError
from callsheet.ledger import Ledger
from callsheet.platforms import load_platforms
from callsheet.settings import Settings
from callsheet.shots import Batch, Mode
from callsheet.steps.spots import assemble, choose_parts, plan_spot

MAX_CROSSFADE_S = 5.0


@dataclass(frozen=True, slots=True)
class SpotRequest:
    """A spot that is wanted.

    Clips of a batch, or their cuts for the platform `cut`, of these shots in this order. Without `batch` the newest of
    the campaign in this mode is meant, without `shots` all. `name` is that of the files. Neighbours share `crossfade_s`
    seconds.
    """

    batch: str | None = None
    name: str = "spot"
    cut: str | None = None
    shots: tuple[str, ...] = ()
    crossfade_s: float = 0.0
    campaign: str | None = None
    mode: Mode = "rehearsal"


async def make_spot_of(settings: Settings, asked: SpotRequest) -> dict[str, Any]:
    """Make and archive the spot and show it in the batch's gallery.

    What it is, where, and whether it was made now.

    Nothing is paid for. SettingsError for a request that cannot be met, MediaError for parts that cannot be joined.
    """
    _check(asked)
    batch = await _batch(settings, asked)
    spec = load_platforms(settings.platforms).get(asked.cut) if asked.cut else None
    async with open_for(to_repair(batch, settings), settings) as run:
        sidecars = await read_sidecars(run.resources.store, batch.prefix)
        if not sidecars:
            raise SettingsError(
                f"{run.resources.store.uri} has no batch {batch.name}. Nothing was joined. See `callsheet find`."
            )
        parts = choose_parts(sidecars, asked.shots, spec.name if spec else None)
        record, made = await assemble(run, sidecars, plan_spot(asked.name, parts, spec, asked.crossfade_s))
        await write_page(run.resources.store, run.resources.ledger, batch, sidecars)
        folder = f"{run.resources.store.uri}/{batch.prefix}/{layout.SPOTS}"
    return {
        "batch": batch.name,
        "name": record.name,
        "made": made,
        "uri": f"{folder}/{record.file.file}",
        "poster": f"{folder}/{record.poster.file}",
        "thumbnail": f"{folder}/{record.thumbnail.file}",
        "sheet": f"{folder}/{record.sheet.file}",
        "duration_s": record.file.duration_s,
        "how": record.how,
        "why": record.why,
        "lufs": record.lufs,
        "peak_dbtp": record.peak_dbtp,
        "sound": record.sound,
        "parts": [part.model_dump() for part in record.parts],
    }


def _check(asked: SpotRequest) -> None:
    if bool(asked.batch) == bool(asked.campaign):
        raise SettingsError("Name a batch or a campaign, one of the two. Nothing was joined.")
    if not re.fullmatch(SPOT_NAME, asked.name):
        raise SettingsError(
            f"{asked.name[:80]!r} cannot be a spot's name: letters, digits, dots, dashes and underscores, at most 60."
        )
    if not 0 <= asked.crossfade_s <= MAX_CROSSFADE_S:
        raise SettingsError(f"A crossfade lasts 0 to {MAX_CROSSFADE_S:g} s, not {asked.crossfade_s:g}.")


async def _batch(settings: Settings, asked: SpotRequest) -> Batch:
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        if asked.batch:
            return (await ledger.batch_named(asked.batch, "Nothing was joined.")).batch
        rows = sorted(await ledger.batches(), key=lambda row: row.created, reverse=True)
    wanted = CutsRequest((), campaign=asked.campaign, mode=asked.mode)
    if found := choose_batches(rows, wanted):
        return found[0]
    raise SettingsError(no_edition(rows, wanted, "Nothing was joined."))
