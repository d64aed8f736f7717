"""Pictures of the user as they are sent to a model.

They are whole, upright, and of a type that the model takes. PNG, JPEG, WebP, HEIC and HEIF are known, and the first
picture of a GIF. One that needs no change goes out byte for byte. HEIC and HEIF need the extra `callsheet[heif]`.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from io import BytesIO

from PIL import ExifTags, Image, ImageOps

from callsheet.errors import MediaError
from callsheet.media.containers import HEAD_BYTES, HEIC_TYPES, MAX_PIXELS, boxes_of, find_box, picture_type

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
JPEG_QUALITY = 95
# Without one of these words in a file there is nothing that could turn it.
_TURNING = (b"Exif", b"eXIf", b"EXIF", b"exif", b"Orientation")
_UPRIGHT = 1
_META_HEAD = 4  # version and flags of a full box


def picture_damage(data: bytes) -> str:
    """Return why a picture cannot be sent, "" when all of it can be decoded."""
    try:
        with open_input(data) as image:
            image.load()
    except MediaError as error:
        return str(error).rstrip(".")
    except (
        Exception
    ) as error:  # decoders raise whatever they stumble over: OSError, SyntaxError, ValueError, struct.error
        return f"the picture is damaged or cut short ({_describe(error)})"
    return _find_cut_end(data)


def needs_change(data: bytes) -> bool:
    """Return whether a whole picture cannot go out as it is.

    It is turned by its metadata, or moves.
    """
    if picture_type(data[:HEAD_BYTES]) in HEIC_TYPES:
        return _is_heic_turned(data)
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
            return True
        return any(word in data for word in _TURNING) and _read_orientation(image) != _UPRIGHT


def prepare_picture(data: bytes, taken: Collection[str]) -> tuple[bytes, str]:
    """Return a picture as it is sent, and the MIME type that it then has.

    `taken` are the MIME types that the model takes. Raises MediaError when it has to be changed and cannot be decoded.
    """
    mime_type = picture_type(data[:HEAD_BYTES]) or ""
    try:
        if mime_type in taken and not needs_change(data):
            return data, mime_type
        return _convert(data, mime_type)
    except MediaError:
        raise
    except Exception as error:  # as in picture_damage
        raise MediaError(f"The picture cannot be decoded ({_describe(error)}). Nothing was sent for it.") from error


def open_input(data: bytes) -> Image.Image:
    """Open a picture of the user.

    Raises MediaError for one that is too large to look at, or that nothing here reads; decoders raise their own.
    """
    if picture_type(data[:HEAD_BYTES]) in HEIC_TYPES:
        return _open_heic(data)
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise MediaError(f"the picture is too large to be looked at ({_describe(error)}).") from None
    _check_pixels(*image.size)
    return image


def _open_heic(data: bytes) -> Image.Image:
    try:
        import pi_heif
    except ImportError:
        raise MediaError(
            "HEIC pictures cannot be read here: install the extra, pip install 'callsheet[heif]', or save it as JPEG."
        ) from None
    file = pi_heif.open_heif(BytesIO(data))
    _check_pixels(*file.size)
    picture: Image.Image = file.to_pillow()
    return picture


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise MediaError(f"{width}x{height} is more than {MAX_PIXELS // 1_000_000} megapixels.")


@lru_cache(maxsize=8)
def _convert(data: bytes, mime_type: str) -> tuple[bytes, str]:
    """Return the upright first picture: a JPEG of a photograph, else a PNG.

    A sheet names few pictures for many shots, so the last ones are kept.
    """
    with open_input(data) as image:
        upright = ImageOps.exif_transpose(image)
    profile = {"icc_profile": image.info.get("icc_profile")}
    out = BytesIO()
    if mime_type in ("image/png", "image/gif") or upright.has_transparency_data:
        upright.save(out, "PNG", **profile)
        return out.getvalue(), "image/png"
    photograph = upright if upright.mode in ("L", "RGB", "CMYK") else upright.convert("RGB")
    photograph.save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0, **profile)
    return out.getvalue(), "image/jpeg"


def _read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8.

    Metadata that cannot be read turns nothing.
    """
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
    except Exception:  # as in picture_damage; the picture itself is looked at elsewhere
        return _UPRIGHT
    return found if found in range(_UPRIGHT, 9) else _UPRIGHT


def _is_heic_turned(data: bytes) -> bool:
    """Return whether a HEIC is to be turned or mirrored when it is shown."""
    meta = find_box(data, b"meta")
    properties = find_box(meta[_META_HEAD:], b"iprp", b"ipco") if meta else None
    for box in boxes_of(properties or b""):
        body = (properties or b"")[box.body : box.end]
        if box.kind == b"imir" or (box.kind == b"irot" and any(body)):
            return True
    return False


def _find_cut_end(data: bytes) -> str:
    """Return damage that decoders forgive: a file that stops before its own end."""
    whole = {b"\x89P": b"IEND\xaeB`\x82", b"\xff\xd8": b"\xff\xd9"}.get(data[:2], b"")
    if data.startswith(b"GIF8"):
        return "" if b";" in data[-16:] else "the picture is cut short"
    return "" if whole in data else "the picture is cut short"


def _describe(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
