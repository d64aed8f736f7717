"""HEIC and HEIF pictures by their boxes alone: nothing here decodes HEVC. ISO/IEC 23008-12."""

from __future__ import annotations

from callsheet.media.boxes import boxes_of, find_box

_META_HEAD = 4  # version and flags of a full box


def heic_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels of the largest picture in a whole HEIC; None when it is cut short or damaged."""
    top = {box.kind: box for box in boxes_of(data)}
    if any(kind not in top or top[kind].end > len(data) for kind in (b"ftyp", b"meta", b"mdat")):
        return None
    meta = data[top[b"meta"].body + _META_HEAD : top[b"meta"].end]
    properties = find_box(meta, b"iprp", b"ipco")
    if properties is None:
        return None
    extents = [properties[box.body : box.end] for box in boxes_of(properties) if box.kind == b"ispe"]
    sizes = [(int.from_bytes(one[4:8], "big"), int.from_bytes(one[8:12], "big")) for one in extents if len(one) >= 12]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)
