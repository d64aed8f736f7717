"""Contact sheets: the takes of a group of shots on one picture.

The chosen ones are marked, and what the cuts show of the clips is drawn (crop and safe zone on a frame), from what the
archive has.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageDraw

from callsheet.archive.layout import shot_folder
from callsheet.archive.sidecar import CutRecord, FileRecord, Sidecar
from callsheet.archive.store import Store
from callsheet.concurrency import gather_bounded
from callsheet.cuts.framing.geometry import CropKey, Framing
from callsheet.errors import ArchiveError
from callsheet.media.contact_sheet import SheetItem, contact_sheet
from callsheet.media.stills import JPEG_QUALITY
from callsheet.plan.grouping import groups
from callsheet.platforms.spec import Zone
from callsheet.report.format import truncate as shortened
from callsheet.report.markdown import ContactSheet

_SIDE = 640  # px: tiles of a sheet are smaller
_SHADE, _CROP, _LATER, _COVERED = (0, 0, 0, 130), (74, 222, 128, 255), (96, 165, 250, 255), (248, 113, 113, 90)
Box = tuple[float, float, float, float]


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
    items = await gather_bounded(_AT_ONCE, (_read_item(store, prefix, tile) for tile in tiles))
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


async def _read_item(store: Store, prefix: str, tile: _Tile) -> SheetItem:
    try:
        data = await store.read_bytes(f"{shot_folder(prefix, tile.shot)}/{tile.file}", tile.limit)
        if tile.cut and (framing := framing_of(tile.cut[1], tile.cut[0])):
            data = await asyncio.to_thread(draw_framed_picture, data, *tile.cut, framing)
    except (ArchiveError, OSError):
        data = None
    return SheetItem(data, tile.label, tile.sublabel, chosen=tile.chosen, rejected=tile.rejected)


def draw_framing(frame: Image.Image, size: tuple[int, int], framing: Framing, safe: Zone) -> Image.Image:
    """Draw on a small copy of a frame of the clip what the cut shows of it.

    What is cut away is dark, the crop has a green edge (where it moves, the last place is blue), and what the
    platform's own controls cover of it is red. `size` is the clip's upright pixels, in which the framing counts.
    """
    shown = frame.convert("RGB")
    shown.thumbnail((_SIDE, _SIDE))
    scale = (shown.width / size[0], shown.height / size[1])
    veil = Image.new("RGBA", shown.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(veil)
    boxes = [_scale(box, scale) for box in _find_boxes(framing, size)]
    if framing.how == "crop":
        draw.rectangle((0, 0, *shown.size), fill=_SHADE)
        for box in boxes:
            draw.rectangle(_round_to_pixels(box), fill=(0, 0, 0, 0))
    for covered in _find_covered(boxes[0], safe):
        draw.rectangle(_round_to_pixels(covered), fill=_COVERED)
    for box, colour in reversed(list(zip(boxes, (_CROP, _LATER), strict=False))):
        draw.rectangle(_round_to_pixels(box), outline=colour, width=3)
    return Image.alpha_composite(shown.convert("RGBA"), veil).convert("RGB")


def framing_label(framing: Framing) -> str:
    """Describe the framing in a few words.

    `crop 404x718 at 738,0`, where it moves to, or that the whole picture is kept.
    """
    if framing.how == "pad":
        return "whole picture, blurred around"
    first, last = framing.path[0], framing.path[-1]
    moves = f" to {last.x},{last.y}" if len(framing.path) > 1 else ""
    return f"crop {framing.width}x{framing.height} at {first.x},{first.y}{moves}"


def _find_boxes(framing: Framing, size: tuple[int, int]) -> list[Box]:
    """Return the first and the last place of the crop in pixels of the clip.

    Of a padded cut its whole canvas.
    """
    if framing.how == "pad":
        scale = max(size[0] / framing.width, size[1] / framing.height)
        wide, high = framing.width * scale, framing.height * scale
        left, top = (size[0] - wide) / 2, (size[1] - high) / 2
        return [(left, top, left + wide, top + high)]
    ends = framing.path[:1] if len(framing.path) == 1 else (framing.path[0], framing.path[-1])
    return [(key.x, key.y, key.x + framing.width, key.y + framing.height) for key in ends]


def _find_covered(box: Box, safe: Zone) -> list[Box]:
    left, top, right, bottom = box
    wide, high = right - left, bottom - top
    upper, lower = top + safe.top * high, bottom - safe.bottom * high
    bands = [
        (left, top, right, upper),
        (left, lower, right, bottom),
        (left, upper, left + safe.left * wide, lower),
        (right - safe.right * wide, upper, right, lower),
    ]
    return [band for band in bands if band[2] - band[0] >= 1 and band[3] - band[1] >= 1]


def _scale(box: Box, scale: tuple[float, float]) -> Box:
    return box[0] * scale[0], box[1] * scale[1], box[2] * scale[0], box[3] * scale[1]


def _round_to_pixels(box: Box) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(value) for value in box)
    return left, top, max(left, right - 1), max(top, bottom - 1)
