"""Finding the subject of a clip without a model: what differs from its surroundings, and what moves on its own."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import numpy as np

from callsheet.framing.glances import Glances, Stack, glance
from callsheet.framing.maps import blurred, salience
from callsheet.framing.subject import Subject, SubjectBox
from callsheet.framing.track import Box, box_around, follow
from callsheet.media.probe import VideoProbe

# Of the subject beside the mean of its frame. Noise has 1.3, photographs 1.5 to 5, what moves 8 and more (2026-11-21).
_STANDS_OUT = 1.45
# Below it, where a frame's box lies is too weak a hint to move the crop by: the middle of all boxes stands for them.
_FOLLOWED = 3.0
_WHOLE = 0.7  # share of the picture's sides: what fills both is no subject but the picture itself


def find_subject(path: Path, probe: VideoProbe) -> Subject:
    """The subject of a clip in shares of the upright picture, over time; how="saliency".

    how="centre" without boxes, and the reason, when nothing stands out. Deterministic. MediaError when the clip cannot
    be decoded. Blocks for some tenths of a second: call it on a thread.
    """
    return subject_of(glance(path, probe))


def subject_of(glances: Glances) -> Subject:
    """The subject of small frames."""
    maps = salience(glances)
    if maps is None:
        return Subject((), "centre", "nothing stands out: the picture is black or even")
    side = max(maps.shape[1:])
    fine = blurred(maps, side // 24)
    # The wider of the two closes what the edges of a large, plain subject enclose.
    soft = fine + blurred(maps, side // 8)
    found = [box_around(plane, place) for plane, place in zip(fine, follow(soft), strict=True)]
    prominence = _prominence(fine, found)
    if prominence < _STANDS_OUT:
        return Subject((), "centre", "nothing stands out: the picture is as busy everywhere")
    rows, columns = soft.shape[1:]
    boxes = tuple(
        SubjectBox(*(round(value, 4) for value in (at_s, left / columns, top / rows, right / columns, bottom / rows)))
        for at_s, (left, top, right, bottom) in zip(glances.times, found, strict=True)
    )
    if median(min(box.right - box.left, box.bottom - box.top) for box in boxes) > _WHOLE:
        return Subject((), "centre", "nothing stands out: what draws the eye is the whole picture")
    if prominence < _FOLLOWED:
        boxes = (_typical(boxes),)
    return Subject(boxes, "saliency", f"it draws the eye {prominence:.1f} times as much as the rest")


def _typical(boxes: tuple[SubjectBox, ...]) -> SubjectBox:
    left, top, right, bottom = (
        median(values) for values in zip(*((b.left, b.top, b.right, b.bottom) for b in boxes), strict=True)
    )
    return SubjectBox(0.0, left, top, right, bottom)


def _prominence(maps: Stack, boxes: list[Box]) -> float:
    """How salient the most salient place of a box is beside the mean of its frame."""
    peaks = [plane[top:bottom, left:right].max() for plane, (left, top, right, bottom) in zip(maps, boxes, strict=True)]
    return float(np.median(np.array(peaks) / np.maximum(1e-6, maps.mean((1, 2)))))
