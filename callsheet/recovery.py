"""A recovery: what is missing in which batches, and the studio opened to fetch it, without manifest or request."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from callsheet.archive.open import open_archive
from callsheet.clock import Clock
from callsheet.errors import CallsheetError, SettingsError, Stopped
from callsheet.ledger import Ledger
from callsheet.models import load_catalogue
from callsheet.run import join_rehearsal
from callsheet.settings import Settings
from callsheet.shots import Batch, Mode
from callsheet.steps.missing import Missing, Recovered, missing_in
from callsheet.steps.recover import recover
from callsheet.studio import Studio, open_studio

log = logging.getLogger(__name__)

# Live first: there the money is real.
MODES: tuple[Mode, ...] = ("live", "rehearsal")


@dataclass(frozen=True, slots=True)
class Found:
    """What is missing, most urgent first, and the batches of the ledger by name."""

    missing: tuple[Missing, ...]
    batches: Mapping[str, Batch]

    def of(self, mode: Mode) -> list[Missing]:
        """What is missing in the batches of one mode."""
        return [one for one in self.missing if self.batches[one.batch].mode == mode]


async def find_missing(settings: Settings, batch: str | None = None) -> Found:
    """What is paid for and not in the archive, in every batch or for one; asks no provider.

    SettingsError when the ledger has no batch of that name.
    """
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(await Ledger.open(settings.ledger_url, clock=Clock()))
        store = open_archive(settings)
        stack.push_async_callback(store.aclose)
        batches = {row.batch.name: row.batch for row in await ledger.batches()}
        if batch is not None and batch not in batches:
            known = ", ".join(list(batches)[:20]) or "none"
            raise SettingsError(f"There is no batch {batch!r} in this ledger. Known: {known}.")
        missing = await missing_in(ledger, store, batches)
        if batch is not None:
            # What the batch wants may have been ordered by another one first.
            wanted = {want.job_key for want in await ledger.wants_of(batch)}
            missing = [one for one in missing if one.batch == batch or (not one.file and one.job.key in wanted)]
    return Found(tuple(missing), batches)


def check_mode(found: Found, mode: Mode, batch: str | None) -> None:
    """SettingsError when the one batch that was named is of the other mode."""
    if batch is not None and found.batches[batch].mode != mode:
        other = "live" if mode == "rehearsal" else "a rehearsal"
        raise SettingsError(f"Batch {batch!r} is {other}: ask for it with live={mode == 'rehearsal'}.")


@asynccontextmanager
async def open_recovery(settings: Settings, mode: Mode, batch: Batch) -> AsyncIterator[Studio]:
    """A studio that looks and fetches in one mode, with the rehearsal service running for rehearsals. Sends nothing.

    `batch` is any of that mode. Raises SettingsError or ServiceError when the provider cannot be reached that way.
    """
    async with AsyncExitStack() as stack:
        url, clock = await join_rehearsal(stack, settings) if mode == "rehearsal" else (None, Clock())
        studio = await stack.enter_async_context(
            open_studio(
                settings,
                batch,
                catalogue=load_catalogue(settings.catalogue),
                clock=clock,
                service_url=url,
                budget_usd=None,
            )
        )
        studio.free, studio.halted = True, Stopped("A recovery sends nothing.")
        yield studio


async def recover_all(settings: Settings, batch: str | None = None) -> list[Recovered]:
    """Fetch whatever is missing in every batch, or for one, in both modes. What cannot be had is told, not raised."""
    found = await find_missing(settings, batch)
    return [one for mode in MODES for one in await _of_mode(settings, mode, found.of(mode), found.batches)]


async def _of_mode(
    settings: Settings, mode: Mode, missing: Sequence[Missing], batches: Mapping[str, Batch]
) -> list[Recovered]:
    if not missing:
        return []
    try:
        async with open_recovery(settings, mode, batches[missing[0].batch]) as studio:
            return await recover(studio, missing, batches)
    except CallsheetError as error:
        log.debug("The recovery of the %s batches stopped", mode, exc_info=True)
        return [one.told(one.unreached(), f"The {mode} batches cannot be looked after now: {error}") for one in missing]
