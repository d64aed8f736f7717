"""Drawing of the crop and the safe zone on a frame of the clip, for checking."""

from __future__ import annotations

from PIL import Image, ImageDraw

from callsheet.cuts.framing.geometry import Framing
from callsheet.platforms.spec import Zone

_SIDE = 640  # px: tiles of a sheet are smaller
_SHADE, _CROP, _LATER, _COVERED = (0, 0, 0, 130), (74, 222, 128, 255), (96, 165, 250, 255), (248, 113, 113, 90)
Box = tuple[float, float, float, float]


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
