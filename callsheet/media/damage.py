"""Whether a picture that somebody gives can be decoded to its last line."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP")


def picture_damage(data: bytes) -> str:
    """Return what is wrong with a PNG, JPEG or WebP picture, "" when all of it can be decoded.

    A picture of more pixels than Pillow decodes without a warning (89 million) is not looked at.
    """
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height <= (Image.MAX_IMAGE_PIXELS or 0):
                image.load()
    except Image.DecompressionBombError:
        return ""
    except (
        Exception
    ) as error:  # decoders raise whatever they stumble over: OSError, SyntaxError, ValueError, struct.error
        return f"the picture is damaged or cut short ({_told(error)})"
    return _tail(data)


def _tail(data: bytes) -> str:
    """What decoders forgive: a file that ends before it says that it does."""
    whole = {b"\x89P": b"IEND\xaeB`\x82", b"\xff\xd8": b"\xff\xd9"}.get(data[:2], b"")
    return "" if whole in data else "the picture is cut short"


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
