"""Technical measures of a picture or clip, taken on copies of at most 512 px.

They say which of several takes or clips of one shot is technically better; across shots they mean little.
"""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from callsheet.errors import MediaError
from callsheet.media.facts import FrameScore
from callsheet.media.probe import ANSWER_FORMATS, open_image, probe_any
from callsheet.media.stills import video_frame

SIDE = 512
# Luma at or beyond these counts as lost detail.
SHADOW, HIGHLIGHT = 2, 253

Plane = npt.NDArray[np.float32]


def score_image(source: Path | bytes) -> FrameScore:
    """Measure a picture; raise MediaError when it cannot be decoded."""
    return _measure(_decode_small(source))


def score_clip(video: Path, moments: int = 5) -> tuple[FrameScore, float]:
    """Measure a clip by pictures from all of it, and how much these differ.

    Returns means, with the hash of the middle one, and the mean difference of luma (0-255) between one and the next.
    Raises MediaError when it cannot be decoded.
    """
    length_s = probe_any(video).duration_s
    pictures = [video_frame(video, length_s * (n + 0.5) / moments) for n in range(moments)]
    for picture in pictures:
        picture.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    scores = [_measure(picture.convert("RGB")) for picture in pictures]
    names = ("luma", "clipped", "entropy", "sharpness", "contrast", "colourfulness")
    means = {name: round(sum(getattr(score, name) for score in scores) / moments, 4) for name in names}
    lights = [np.asarray(picture.convert("L"), dtype=np.float32) for picture in pictures]
    motion = sum(float(np.abs(a - b).mean()) for a, b in pairwise(lights)) / (moments - 1)
    return FrameScore(**means, dhash=scores[moments // 2].dhash), round(motion, 4)


def _measure(small: Image.Image) -> FrameScore:
    grey = small.convert("L")
    luma = np.asarray(grey, dtype=np.float32)
    return FrameScore(
        luma=round(float(luma.mean()), 3),
        clipped=round(float(max((luma <= SHADOW).mean(), (luma >= HIGHLIGHT).mean())), 5),
        entropy=round(grey.entropy(), 4),
        sharpness=round(_measure_sharpness(luma), 3),
        contrast=round(float(luma.std()), 3),
        colourfulness=round(_measure_colourfulness(np.asarray(small, dtype=np.float32)), 3),
        dhash=difference_hash(grey),
    )


def difference_hash(grey: Image.Image) -> int:
    """Return 64 bits: whether each cell of an 8x8 grid is darker than its right one."""
    cells = np.asarray(grey.resize((9, 8), Image.Resampling.BILINEAR), dtype=np.int16)
    bits = (cells[:, 1:] > cells[:, :-1]).flatten()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _decode_small(source: Path | bytes) -> Image.Image:
    name = source.name if isinstance(source, Path) else "The picture"
    try:
        with open_image(BytesIO(source) if isinstance(source, bytes) else source, ANSWER_FORMATS) as image:
            image.draft("RGB", (SIDE, SIDE))  # lets JPEG decode at a fraction of its size
            image.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
            return image.convert("RGB")
    except MediaError as error:
        raise MediaError(f"{name}: {error}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise MediaError(f"{name} cannot be decoded ({error}). It has to be made or fetched again.") from error


def _measure_sharpness(luma: Plane) -> float:
    if min(luma.shape) < 3:
        return 0.0
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return float((around - 4 * luma[1:-1, 1:-1]).var())


def _measure_colourfulness(rgb: Plane) -> float:
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))
