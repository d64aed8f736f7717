"""The kind of a picture or video by its first bytes, before the rest is read."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP")


def picture_damage(data: bytes) -> str:
    """Return what is wrong with a PNG, JPEG or WebP picture.

    "" when all of it can be decoded. A picture of more pixels than Pillow decodes without a warning (89 million) is not
    looked at.
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
        return f"the picture is damaged or cut short ({_describe(error)})"
    return _find_cut_end(data)


def _find_cut_end(data: bytes) -> str:
    """Return damage that decoders forgive: a file that stops before its own end."""
    whole = {b"\x89P": b"IEND\xaeB`\x82", b"\xff\xd8": b"\xff\xd9"}.get(data[:2], b"")
    return "" if whole in data else "the picture is cut short"


def _describe(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__


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
# As many bytes as `picture_type` and `video_type` need.
HEAD_BYTES = 64


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
