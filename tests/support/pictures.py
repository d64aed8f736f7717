"""Small real pictures of every kind that a provider may answer with."""

from __future__ import annotations

import io
from functools import cache

from PIL import Image


@cache
def a_picture(format_: str = "PNG", colour: str = "teal", size: tuple[int, int] = (32, 18)) -> bytes:
    """A whole picture."""
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, format_)
    return out.getvalue()


def a_png(colour: str = "teal") -> bytes:
    """A whole PNG."""
    return a_picture("PNG", colour)


@cache
def a_heic(size: tuple[int, int] = (64, 48)) -> bytes:
    """The boxes of a HEIC, with noise for its picture: nothing here can encode HEVC."""

    def box(kind: bytes, body: bytes) -> bytes:
        return (len(body) + 8).to_bytes(4, "big") + kind + body

    extent = bytes(4) + size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big")
    properties = box(b"iprp", box(b"ipco", box(b"ispe", extent)))
    head = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + box(b"meta", bytes(4) + properties)
    return head + box(b"mdat", bytes(range(256)))
