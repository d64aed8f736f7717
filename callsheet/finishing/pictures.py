"""Logo and end card: pictures of the user's, made to measure."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from callsheet.errors import MediaError
from callsheet.media.probe import open_image

# Four bytes each while it is worked on.
MAX_PIXELS = 40_000_000


def logo_picture(data: bytes, width: int, height: int) -> Image.Image:
    """The logo scaled to fit a box of pixels, its transparency kept; MediaError when it cannot be used."""
    logo = _opened(data, "logo", width, height)
    box = logo.getchannel("A").getbbox()
    if box is None:
        raise MediaError("The logo is all transparent. Give another file.")
    return _fitted(logo.crop(box), width, height)


def card_picture(data: bytes, width: int, height: int) -> Image.Image:
    """The end card, whole, in the middle of a picture of this size; MediaError when it cannot be used.

    What it does not fill has the colour of its edge; where that is transparent, white or black, whichever it stands
    out against.
    """
    card = _fitted(_opened(data, "end card", width, height), width, height)
    picture = Image.new("RGBA", (width, height), _ground(card))
    picture.alpha_composite(card, ((width - card.width) // 2, (height - card.height) // 2))
    return picture


def _opened(data: bytes, what: str, width: int, height: int) -> Image.Image:
    try:
        with open_image(BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise MediaError(f"{image.width}x{image.height} is more than {MAX_PIXELS // 1_000_000} megapixels.")
            image.draft("RGB", (2 * width, 2 * height))  # a large JPEG is decoded no larger than is needed
            return ImageOps.exif_transpose(image).convert("RGBA")
    except (MediaError, OSError, SyntaxError, ValueError) as error:
        raise MediaError(f"The {what} cannot be used: {error}") from error


def _fitted(picture: Image.Image, width: int, height: int) -> Image.Image:
    scale = min(width / picture.width, height / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    # Colours of transparent pixels must not bleed into the others.
    return picture.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")


def _ground(card: Image.Image) -> tuple[int, int, int]:
    pixels = np.asarray(card, dtype=np.float64)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if edge[:, 3].min() > 250:
        red, green, blue = (round(value) for value in np.median(edge[:, :3], axis=0))
        return red, green, blue
    seen = pixels[pixels[..., 3] > 128]
    light = seen[:, :3].mean() if len(seen) else 0.0
    return (0, 0, 0) if light > 127 else (255, 255, 255)
