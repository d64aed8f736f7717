"""Contact sheets for the Prefect UI: those of finished groups while a batch runs, all of them at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from callsheet.archive.sidecar import Sidecar
from callsheet.context.context import Studio
from callsheet.plan.groups import groups
from callsheet.report.sheets import ContactSheet, contact_sheet_markdown
from callsheet.steps.contact import SHEETS_AT_MOST, contact_sheets, sheet_of
from tasks.publishing import publish_markdown, published

SHOW_EVERY_S = 5.0


async def publish_sheets(studio: Studio, sidecars: Sequence[Sidecar]) -> None:
    """Publish the sheets of all shots, in place of those that were published while the batch ran."""
    await _publish(studio, await contact_sheets(studio.store, studio.batch.prefix, sidecars))


async def keep_showing(studio: Studio) -> None:
    """Publish the sheet of each group as soon as all of its shots have ended, until cancelled.

    A sheet is drawn once, and there are at most 24: so often at most is the artifact written. Of a batch in shards it
    shows what this process makes itself; the others come with the report.
    """
    drawn: dict[tuple[str, ...], ContactSheet | None] = {}
    while True:
        await asyncio.sleep(SHOW_EVERY_S)
        await published("contact sheet so far", _show_more(studio, drawn))


async def _show_more(studio: Studio, drawn: dict[tuple[str, ...], ContactSheet | None]) -> None:
    """Draw the groups that have ended since, and publish all that are drawn."""
    places = [tuple(shots) for shots in groups(list(studio.work), SHEETS_AT_MOST)]
    ended = [place for place in places if place not in drawn and all(shot in studio.sidecars for shot in place)]
    for place in ended:
        group = [studio.sidecars[shot][0] for shot in place]
        drawn[place] = await sheet_of(studio.store, studio.batch.prefix, group, stills=len(places[0]) == 1)
    if any(drawn[place] for place in ended):
        await _publish(studio, [sheet for place in places if (sheet := drawn.get(place))])


async def _publish(studio: Studio, sheets: Sequence[ContactSheet]) -> None:
    if sheets:
        name = studio.batch.name
        await publish_markdown(name, "contact-sheet", contact_sheet_markdown(sheets), _about(name))


def _about(batch: str) -> str:
    return f"Takes of {batch}, chosen ones in green"
