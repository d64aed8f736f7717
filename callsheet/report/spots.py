"""The spots of a batch as they are shown in its gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from callsheet.archive.layout import SPOTS
from callsheet.archive.spots import SpotRecord
from callsheet.report.media_view import MediaView, media_view
from callsheet.report.posting import posting
from callsheet.report.shown import counted, cut, size, visible

_LONGEST = 600


@dataclass(frozen=True, slots=True)
class SpotView:
    """A spot: its film, what it is made for, the shots that it joins in their order, and what to tell when posting."""

    name: str
    media: MediaView | None
    made_for: str
    note: str
    joins: str
    sheet: str
    posting: str


def spot_views(spots: Sequence[SpotRecord]) -> tuple[SpotView, ...]:
    """How these spots are shown, in their order."""
    return tuple(_spot(spot) for spot in spots)


def _spot(spot: SpotRecord) -> SpotView:
    made_for = spot.title or (spot.cut.replace("x", ":") if spot.cut[:1].isdigit() else spot.cut)
    length = f"{spot.file.duration_s:.0f} s" if spot.file.duration_s else ""
    fades = f"crossfades of {spot.crossfade_s:g} s" if spot.crossfade_s else ""
    facts = (length, counted(len(spot.parts), "part"), fades, size(spot.file.size))
    return SpotView(
        name=visible(spot.name),
        media=media_view(spot.file, SPOTS, f"Spot {spot.name}", spot.poster),
        made_for=cut(made_for, 100) or "Clips as they are",
        note=" · ".join(filter(None, facts)),
        joins=cut(", ".join(part.shot for part in spot.parts), _LONGEST),
        sheet=quote(f"{SPOTS}/{spot.sheet.file}"),
        posting=posting([spot.disclosure]),
    )
