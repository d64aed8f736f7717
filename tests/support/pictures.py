"""Small real pictures of every kind that a provider may answer with."""

from __future__ import annotations

import base64
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


# Real HEVC: 64x32, the left quarter blue, the rest red. The second says in its boxes that it is shown turned, 32x64
# with the blue at the top.
REAL_HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ACJpbG9jAAAAAERAAAEAAQAAAAABoQABAAAAAAAAADcAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
    "AAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5j"
    "bHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAIAAAAAEAAAAAAAAAAv///+AAAAACAAAAEHBp"
    "eGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAAD9tZGF0AAAAMygBr1hhsCckv//Mp3I+xQ//FDorefT7/1DV1/Fn"
    "W2zGCGe8brdGnSKq4bDm4LaI/FMeZA=="
)
TURNED_HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ADRpbG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAADcAAgAAAAACIwABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAA"
    "AAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAA"
    "kAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq"
    "5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xh"
    "cAAAAEAAAAABAAAAIAAAAAEAAAAAAAAAAv///+AAAAACAAAAEHBpeGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEA"
    "AQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAGNtZGF0AAAAMygBr1hhsCckv//Mp3I+xQ//FDorefT7/1DV1/Fn"
    "W2zGCGe8brdGnSKq4bDm4LaI/FMeZAAAAAZFeGlmAABNTQAqAAAACAABARIAAwAAAAEABgAAAAAAAA=="
)


def two_colours(format_: str, orientation: int = 1, size: tuple[int, int] = (64, 32)) -> bytes:
    """A picture whose left quarter is blue and whose rest is red, with an EXIF orientation where it is not 1."""
    image = Image.new("RGB", size, "red")
    image.paste((0, 0, 255), (0, 0, size[0] // 4, size[1]))
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    image.save(out, format_, **({"exif": exif.tobytes()} if orientation != 1 else {}))
    return out.getvalue()
