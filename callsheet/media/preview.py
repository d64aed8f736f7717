"""The preview sheet: a film on one picture, tile by tile."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from callsheet.files import replacing
from callsheet.media.contact_sheet import SheetItem, contact_sheet
from callsheet.media.probe import probe_video
from callsheet.media.provenance import stamp_jpeg
from callsheet.media.stills import JPEG_QUALITY, video_frame

TILES = 12
_TILE_PX = 256


def preview_sheet(video: Path, target: Path, tiles: int = TILES, *, xmp: str | None = None) -> None:
    """Write a JPEG of up to `tiles` frames at equal distances, each with its time.

    It is stamped with `xmp`. A short film has a tile a second, at least four. `target` appears only whole. Raises
    MediaError when the video cannot be decoded.
    """
    length_s = probe_video(video).duration_s
    count = min(tiles, max(4, round(length_s)))
    sheet = contact_sheet([_make_tile(video, length_s * (number + 0.5) / count) for number in range(count)])
    with replacing(target) as part:
        part.write_bytes(sheet)
        if xmp is not None:
            stamp_jpeg(part, xmp)


def _make_tile(video: Path, at_s: float) -> SheetItem:
    frame, buffer = video_frame(video, at_s), BytesIO()
    frame.thumbnail((_TILE_PX, _TILE_PX))
    frame.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return SheetItem(buffer.getvalue(), f"{at_s:.1f} s")
