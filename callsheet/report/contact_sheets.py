"""Contact sheets: the takes of a group of shots on one picture.

The chosen ones are marked, and what the cuts show of the clips is drawn, from what the archive has.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from callsheet.archive.layout import shot_folder
from callsheet.archive.sidecar import CutRecord, FileRecord, Sidecar
from callsheet.archive.store import Store
from callsheet.cuts.framing.drawing import draw_framing, framing_label
from callsheet.cuts.framing.geometry import CropKey, Framing
from callsheet.errors import ArchiveError
from callsheet.media.contact_sheet import SheetItem, contact_sheet
from callsheet.media.stills import JPEG_QUALITY
from callsheet.plan.grouping import groups
from callsheet.platforms import Zone
from callsheet.report.format import truncate as shortened
from callsheet.report.markdown import ContactSheet


def framing_of(cut: CutRecord, clip: FileRecord) -> Framing | None:
    """Rebuild the framing by which a cut shows its clip.

    None when the sidecar does not have it.
    """
    if not (cut.how and cut.file and clip.width and clip.height):
        return None
    if cut.how == "pad":
        return Framing("pad", cut.file.width or clip.width, cut.file.height or clip.height, (), cut.framing)
    x, y, width, height = cut.crop or (0, 0, clip.width, clip.height)
    path = cut.path or ((0.0, x, y),)
    return Framing("crop", width, height, tuple(CropKey(*key) for key in path), cut.framing)


def describe_framing(cut: CutRecord, framing: Framing) -> str:
    """Describe the framing in a few words."""
    return "same video" if cut.how == "copy" else framing_label(framing)


def draw_framed_picture(poster: bytes, clip: FileRecord, cut: CutRecord, framing: Framing) -> bytes:
    """Draw the crop on the clip's poster, as a JPEG.

    And what the platform's own controls cover of it.
    """
    size = clip.width or 1, clip.height or 1
    safe = cut.platform.safe if cut.platform else Zone()
    buffer = BytesIO()
    with Image.open(BytesIO(poster), formats=("JPEG",)) as frame:
        draw_framing(frame, size, framing, safe).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


# Above this many groups the shots are put together. A sheet is at most 150 kB.
SHEETS_AT_MOST, TILES_AT_MOST = 24, 48
THUMBNAIL_LIMIT = 1 << 20
# Single takes have no thumbnail. Their files are read while the batch has few; else they are left to the gallery.
STILLS_AT_MOST, STILL_LIMIT = 60, 12 << 20
PROMPT_CHARS = 160
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class _Tile:
    """A picture to be shown: its file in the shot's folder, at most `limit` bytes.

    Of a `cut`, with the clip that it was cut from, it is the clip's poster, on which its framing is drawn.
    """

    shot: str
    file: str
    limit: int
    label: str
    sublabel: str = ""
    chosen: bool = False
    rejected: bool = False
    cut: tuple[FileRecord, CutRecord] | None = None


async def contact_sheets(store: Store, prefix: str, sidecars: Sequence[Sidecar]) -> list[ContactSheet]:
    """Draw at most 24 sheets over all shots that have pictures.

    In the manifest's order; small batches have one a shot. A picture that cannot be read is left blank: the sheet is
    there to show what happened.
    """
    few = sum(1 for one in sidecars for take in one.takes if take.file and not take.file.thumbnail) <= STILLS_AT_MOST
    shown = [one for one in sidecars if any(_build_tiles(one, few))]
    found = [await sheet_of(store, prefix, group, stills=few) for group in groups(shown, SHEETS_AT_MOST)]
    return [sheet for sheet in found if sheet]


async def sheet_of(store: Store, prefix: str, group: Sequence[Sidecar], *, stills: bool) -> ContactSheet | None:
    """Draw one sheet over a group of shots; None without pictures.

    Single takes without thumbnail are on it only with `stills`.
    """
    tiles, rest = _choose_tiles([tile for one in group for tile in _build_tiles(one, stills)])
    if not tiles:
        return None
    limit = asyncio.Semaphore(_AT_ONCE)
    items = await asyncio.gather(*(_read_item(store, prefix, tile, limit) for tile in tiles))
    label, note = _describe_group(group)
    note += f". {rest:,} more pictures are in the gallery" if rest else ""
    return ContactSheet(label, note, await asyncio.to_thread(contact_sheet, items))


def _choose_tiles(tiles: Sequence[_Tile]) -> tuple[Sequence[_Tile], int]:
    """Choose the tiles that fit a legible sheet; also count those that do not.

    Chosen takes come first when not all fit.
    """
    if len(tiles) <= TILES_AT_MOST:
        return tiles, 0
    chosen = [tile for tile in tiles if tile.chosen] or tiles
    return chosen[:TILES_AT_MOST], len(tiles) - len(chosen[:TILES_AT_MOST])


def _describe_group(group: Sequence[Sidecar]) -> tuple[str, str]:
    """Return the group's name, and a note on the states of its shots."""
    if len(group) == 1:
        one = group[0]
        why = next((take.why for take in one.takes if take.chosen and take.why), "")
        prompt = shortened(one.prompt, PROMPT_CHARS).rstrip(".")
        end = "" if prompt.endswith("…") else "."
        return one.shot, f"{one.state}. {prompt}{end}" + (f" Chosen: {why}." if why else "")
    states = Counter(one.state for one in group)
    told = ", ".join(f"{count} {state}" for state, count in states.most_common())
    return f"{group[0].shot} to {group[-1].shot}", f"{len(group)} shots: {told}"


def _build_tiles(sidecar: Sidecar, stills: bool) -> Iterator[_Tile]:
    """Yield the takes of a shot, then what the cuts show of its clips.

    Of a shot made from text alone, the posters of its clips instead of takes.
    """
    for take in sidecar.takes:
        if take.file and (take.file.thumbnail or stills):
            file, limit = take.file.thumbnail or take.file.file, THUMBNAIL_LIMIT if take.file.thumbnail else STILL_LIMIT
            rejected = take.score.rejected if take.score else None
            rank = f"rank {take.score.rank:.2f}" if take.score and take.score.rank is not None else ""
            label = f"{sidecar.shot} / take {take.take}"
            yield _Tile(sidecar.shot, file, limit, label, rejected or rank, take.chosen, rejected is not None)
    if not sidecar.takes:
        for clip in sidecar.clips:
            if clip.poster:
                yield _Tile(sidecar.shot, clip.poster.file, THUMBNAIL_LIMIT, f"{sidecar.shot} / clip")
    for cut in sidecar.cuts:
        clip_of = next((clip for clip in sidecar.clips if clip.take == cut.take and clip.file and clip.poster), None)
        if clip_of and clip_of.file and clip_of.poster and (framing := framing_of(cut, clip_of.file)):
            label = f"{sidecar.shot} / {cut.platform.title if cut.platform else cut.spec}"
            poster, told = clip_of.poster.file, describe_framing(cut, framing)
            yield _Tile(sidecar.shot, poster, THUMBNAIL_LIMIT, label, told, cut=(clip_of.file, cut))


async def _read_item(store: Store, prefix: str, tile: _Tile, limit: asyncio.Semaphore) -> SheetItem:
    try:
        async with limit:
            data = await store.read_bytes(f"{shot_folder(prefix, tile.shot)}/{tile.file}", tile.limit)
        if tile.cut and (framing := framing_of(tile.cut[1], tile.cut[0])):
            data = await asyncio.to_thread(draw_framed_picture, data, *tile.cut, framing)
    except (ArchiveError, OSError):
        data = None
    return SheetItem(data, tile.label, tile.sublabel, chosen=tile.chosen, rejected=tile.rejected)
