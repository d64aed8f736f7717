"""What a cut shows of its clip, drawn on the clip's poster, from what the sidecar tells."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from callsheet.archive.sidecar import CutRecord, FileRecord
from callsheet.cuts.framing.drawing import drawn_framing, framing_label
from callsheet.cuts.framing.geometry import CropKey, Framing
from callsheet.media.stills import JPEG_QUALITY
from callsheet.platforms import Zone


def framing_of(cut: CutRecord, clip: FileRecord) -> Framing | None:
    """How the cut shows its clip; None when the sidecar does not tell."""
    if not (cut.how and cut.file and clip.width and clip.height):
        return None
    if cut.how == "pad":
        return Framing("pad", cut.file.width or clip.width, cut.file.height or clip.height, (), cut.framing)
    x, y, width, height = cut.crop or (0, 0, clip.width, clip.height)
    path = cut.path or ((0.0, x, y),)
    return Framing("crop", width, height, tuple(CropKey(*key) for key in path), cut.framing)


def told_framing(cut: CutRecord, framing: Framing) -> str:
    """The framing in a few words."""
    return "same video" if cut.how == "copy" else framing_label(framing)


def framed_picture(poster: bytes, clip: FileRecord, cut: CutRecord, framing: Framing) -> bytes:
    """The clip's poster as a JPEG with the crop, and what the platform's own controls cover of it."""
    size = clip.width or 1, clip.height or 1
    safe = cut.platform.safe if cut.platform else Zone()
    buffer = BytesIO()
    with Image.open(BytesIO(poster), formats=("JPEG",)) as frame:
        drawn_framing(frame, size, framing, safe).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
