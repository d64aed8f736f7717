"""What a media file says of itself: its kind, and facts of an MP4 by its boxes.

The kind is known by the first bytes, before the rest is read. Order, edit lists, rotation and wholeness of an MP4 stand
only in its boxes (ISO/IEC 14496-12): headers and the `moov` box are read, never the media data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from callsheet.errors import MediaError

MAX_MOOV = 64 * 1024 * 1024
MAX_BOXES = 10_000

# The matrix (a, b, c, d) of a track header in units of 1.0, and the degrees clockwise it turns the picture.
_TURNS = {(1, 0, 0, 1): 0, (0, 1, -1, 0): 90, (-1, 0, 0, -1): 180, (0, -1, 1, 0): 270}
# ISO/IEC 14496-12 brands of still pictures: AVIF (AV1) and HEIC (HEVC); `mif1` and `msf1` say neither.
_AVIF = frozenset({b"avif", b"avis"})
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_NEUTRAL = frozenset({b"mif1", b"msf1", b"miaf"})
_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl"),
)
# Containers of video other than MP4 and QuickTime: their first bytes, MIME type, and FFmpeg's name for them.
_CONTAINERS = (
    (b"\x1aE\xdf\xa3", "video/x-matroska", "matroska"),
    (b"OggS", "video/ogg", "ogg"),
    (b"FLV\x01", "video/x-flv", "flv"),
    (b"\x00\x00\x01\xba", "video/mpeg", "mpeg"),
)
# FFmpeg's names of containers that cuts are not made from directly.
FOREIGN_CONTAINERS = frozenset({"avi", *(container for _, _, container in _CONTAINERS)})
# Below Pillow's own warning (89 MP). The largest pictures made today have 19 MP (12288x1536), 2026-11-21.
MAX_PIXELS = 80_000_000
HEIC_TYPES = frozenset({"image/heic", "image/heif"})
# What a manifest may name to be sent to a model.
REFERENCE_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"}) | HEIC_TYPES
# As many bytes as `picture_type` and `video_type` need.
HEAD_BYTES = 64


@dataclass(frozen=True, slots=True)
class Mp4Layout:
    """The layout of an MP4 file.

    `rotation` is in degrees clockwise (0, 90, 180, 270), or None for a mirrored or slanted picture.
    """

    moov_first: bool
    has_edit_list: bool
    rotation: int | None


@dataclass(frozen=True, slots=True)
class Box:
    """A box by its byte offsets: `body` is where the header ends."""

    kind: bytes
    start: int
    body: int
    end: int


def is_mp4(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of MP4 or QuickTime."""
    return head[4:8] == b"ftyp"


def read_layout(path: Path) -> Mp4Layout:
    """Read the layout of an MP4 file.

    Raises MediaError when it is empty, foreign, cut short or without an index.
    """
    top = read_top_boxes(path)
    moov = next((box for box in top if box.kind == b"moov"), None)
    if moov is None:
        raise MediaError(f"{path.name} has no index (moov box): it is cut short or damaged. Fetch it again.")
    if moov.end - moov.body > MAX_MOOV:
        raise MediaError(f"{path.name} has an index of more than {MAX_MOOV} bytes. It is not used.")
    with path.open("rb") as file:
        file.seek(moov.body)
        index = file.read(moov.end - moov.body)
    media = next((box.start for box in top if box.kind == b"mdat"), moov.end)
    tracks = [index[box.body : box.end] for box in boxes_of(index) if box.kind == b"trak"]
    return Mp4Layout(
        moov_first=moov.start < media,
        has_edit_list=any(find_box(track, b"edts", b"elst") is not None for track in tracks),
        rotation=next((_read_rotation(track) for track in tracks if _is_video(track)), 0),
    )


def read_top_boxes(path: Path) -> list[Box]:
    """Read the outermost boxes in file order, at least one.

    Raises MediaError when the file is empty, foreign or cut short.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if not size:
            raise MediaError(f"{path.name} is empty (0 bytes). Fetch it again.")
        if not is_mp4(file.read(12)):
            raise MediaError(f"{path.name} is not an MP4 file. Only MP4 video is supported.")
        return list(_read_boxes(file, size, path.name))


def _read_boxes(file: BinaryIO, size: int, name: str) -> Iterator[Box]:
    start = 0
    for _ in range(MAX_BOXES):
        if start >= size:
            return
        file.seek(start)
        box = _parse_box(file.read(16), start, size)
        if box is None or box.end > size:
            raise MediaError(f"{name} is cut short or damaged: a part of it ends after byte {size}. Fetch it again.")
        yield box
        start = box.end
    raise MediaError(f"{name} has more than {MAX_BOXES} parts. It is not used.")


def _parse_box(head: bytes, start: int, limit: int) -> Box | None:
    if len(head) < 8:
        return None
    length, kind, body = int.from_bytes(head[:4], "big"), head[4:8], 8
    if length == 1 and len(head) >= 16:
        length, body = int.from_bytes(head[8:16], "big"), 16
    elif length == 0:
        length = limit - start
    return Box(kind, start, start + body, start + length) if length >= body else None


def boxes_of(data: bytes) -> Iterator[Box]:
    """Yield the boxes in these bytes, as far as they can be recognised.

    The last one may end beyond them.
    """
    start = 0
    for _ in range(MAX_BOXES):
        box = _parse_box(data[start : start + 16], start, len(data))
        if box is None:
            return
        yield box
        start = box.end


def find_box(data: bytes, *path: bytes) -> bytes | None:
    """Return the body of the first box of each kind within the one before it.

    None when there is none.
    """
    for kind in path:
        box = next((box for box in boxes_of(data) if box.kind == kind), None)
        if box is None:
            return None
        data = data[box.body : box.end]
    return data


def _is_video(track: bytes) -> bool:
    handler = find_box(track, b"mdia", b"hdlr")
    return handler is not None and handler[8:12] == b"vide"


def _read_rotation(track: bytes) -> int | None:
    header = find_box(track, b"tkhd") or b""
    at = 52 if header[:1] == b"\x01" else 40
    if len(header) < at + 36:
        return 0
    a, b, _, c, d = struct.unpack(">5i", header[at : at + 20])
    return _TURNS.get((a / 65536, b / 65536, c / 65536, d / 65536))


def picture_type(head: bytes) -> str | None:
    """Return the MIME type of the picture that begins with these bytes.

    None when they begin no picture known here.
    """
    for start, mime_type in _STARTS:
        if head.startswith(start):
            return mime_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    # "BM", the file's length and two words of zeros.
    if head[:2] == b"BM" and head[6:10] == b"\x00\x00\x00\x00" and len(head) >= 26:
        return "image/bmp"
    return _find_brand_type(head) if head[4:8] == b"ftyp" else None


def video_type(head: bytes) -> tuple[str, str] | None:
    """Return the MIME type of the video that begins with these bytes.

    With it comes FFmpeg's name of its container; None for none.
    """
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        is_old = head[4:8] != b"ftyp" or head[8:12] == b"qt  "
        return ("video/quicktime" if is_old else "video/mp4"), "mp4"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "video/x-msvideo", "avi"
    for start, mime_type, container in _CONTAINERS:
        if head.startswith(start):
            return ("video/webm" if b"webm" in head else mime_type), container
    return None


def _find_brand_type(head: bytes) -> str | None:
    """Return the kind of picture in an ISO base media file.

    By its major brand, else by the compatible ones.
    """
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))]
    if brands[0] not in _AVIF | _HEIC | _NEUTRAL:
        return None
    if _AVIF & set(brands):
        return "image/avif"
    return "image/heic" if _HEIC & set(brands) else "image/heif"
