"""Which part of a clip to show, so that its subject is seen: one steady crop, a calm move, or the whole picture."""

from __future__ import annotations

from fractions import Fraction

from callsheet.cutting.framing import Framing
from callsheet.cutting.subject import Subject


def frame_subject(subject: Subject, width: int, height: int, aspect: Fraction, duration_s: float) -> Framing:
    """The framing of a clip of `width` x `height` upright pixels for `aspect` (of stored pixels: divide by the SAR).

    A crop is the largest part with the aspect, true to less than a pixel, always inside the picture, all numbers even;
    a path's first key is at 0 s, its times rise and end within the clip. "pad" only when the subject is wider or higher
    than the crop allows. An unknown subject is the centre. `reason` is one sentence for people.
    """
    raise NotImplementedError
