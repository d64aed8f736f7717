"""Saliency: where small frames draw the eye. Pure.

What differs from its surroundings, what is rare, and what moves by itself.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from callsheet.cuts.framing.geometry import Subject, SubjectBox
from callsheet.cuts.framing.sampling import Glances, Stack, glance, own_motion
from callsheet.media.facts import VideoProbe

Plane = npt.NDArray[np.float32]
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom are outside

_PLACES = 5  # that are looked at in each frame
_REACH = 4  # a subject lies within a quarter of the longer side around its place
_GROW = 0.33  # of the way from the mean to the peak: as far as the subject reaches
# What a jump over the whole picture costs, in shares of a typical peak; a jump within a second is as dear as later.
_JUMP = 1.5


def follow(maps: Stack) -> list[tuple[int, int]]:
    """Find a place (row, column) in each frame: salient all along, without jumps.

    The best way by dynamic programming.
    """
    side = max(maps.shape[1:])
    found = [_find_peaks(plane, side // 8) for plane in maps]
    typical = float(np.median([peaks[0][0] for peaks in found])) or 1.0
    totals = [[value for value, _ in found[0]]]
    back: list[list[int]] = []
    for before, now in pairwise(found):
        costs = np.array([[_JUMP * typical * np.hypot(*np.subtract(b, a)) / side for _, a in before] for _, b in now])
        sums = np.array(totals[-1])[None] - costs
        back.append([int(i) for i in sums.argmax(1)])
        totals.append([value + float(best) for (value, _), best in zip(now, sums.max(1), strict=True)])
    at = [int(np.argmax(totals[-1]))]
    for links in reversed(back):
        at.append(links[at[-1]])
    return [peaks[i][1] for peaks, i in zip(found, reversed(at), strict=True)]


def box_around(plane: Plane, place: tuple[int, int]) -> Box:
    """Return the box of what is salient near a place, without its thin ends.

    Near is within _REACH. It need not be connected: of a plain subject that moves, only the edges differ.
    """
    reach = max(plane.shape) // _REACH
    y, x = place
    for _ in range(3):
        top, left = max(0, y - reach), max(0, x - reach)
        near = plane[top : y + reach + 1, left : x + reach + 1]
        mean = float(plane.mean())
        weight = np.maximum(0, near - mean - (float(near.max()) - mean) * _GROW)
        rows, columns = _find_middle(weight.sum(1)), _find_middle(weight.sum(0))
        y, x = top + sum(rows) // 2, left + sum(columns) // 2
    return left + columns[0], top + rows[0], left + columns[1], top + rows[1]


def _find_middle(weights: npt.NDArray[np.float32]) -> tuple[int, int]:
    if not weights.any():  # a place kept to for the frames around it, where this one has nothing
        return 0, len(weights)
    total = np.cumsum(weights) / float(weights.sum())
    return int(np.searchsorted(total, 0.04)), int(np.searchsorted(total, 0.96)) + 1


def _find_peaks(plane: Plane, apart: int) -> list[tuple[float, tuple[int, int]]]:
    left = plane.copy()
    peaks = []
    for _ in range(_PLACES):
        y, x = divmod(int(np.argmax(left)), left.shape[1])
        peaks.append((float(plane[y, x]), (y, x)))
        left[max(0, y - apart) : y + apart + 1, max(0, x - apart) : x + apart + 1] = -np.inf
    return peaks


# Each cue is taken in proportion to its own mean, so one that singles out a place outweighs one that is everywhere.
# The floors (grey levels, and bits) keep faint noise from being blown up; motion tells most.
_FLOORS = {"contrast": 4.0, "rarity": 1.0, "motion": 1.2}
_WEIGHTS = {"contrast": 1.0, "rarity": 0.7, "motion": 2.5}
_MOST = 12.0
_OFF_CENTRE = 0.35  # how much less the edges of the picture count than its middle
_PLAIN = 8.0  # contrast, in grey levels, below which rare colours tell nothing: bands of a sky
_SEEN = 12.0  # grey levels of motion: more is no more telling, or one edge of a subject would outshine the other
_EVEN = 15.0  # contrast below which a picture shows nothing: black, one colour, a soft gradient
# The median of the motion beside its mean: near 0 when something moves, near 1 when everything flickers.
_ALIVE, _FLICKER = 0.3, 0.6


def salience(glances: Glances) -> Stack | None:
    """Measure how much each place of each frame draws the eye.

    None when the pictures are black or even.
    """
    side = max(glances.luma.shape[1:])
    soft = blurred(glances.luma, 1)
    contrast = _measure_contrast(glances, side)
    if float(np.percentile(contrast, 99.5)) < _EVEN:
        return None
    moves = np.minimum(own_motion(glances, soft), _SEEN)
    flicker = float(np.median(blurred(moves, side // 24))) / (float(moves.mean()) + 1e-6)
    told = np.clip(blurred(contrast, side // 16) / _PLAIN, 0, 1)
    cues = {
        "contrast": contrast,
        "rarity": _measure_rarity(glances) * told,
        "motion": moves * np.clip((_FLICKER - flicker) / (_FLICKER - _ALIVE), 0, 1),
    }
    total = np.zeros_like(soft)
    for name, cue in cues.items():
        total += _WEIGHTS[name] * np.clip(blurred(cue, side // 50) / (float(cue.mean()) + _FLOORS[name]), 0, _MOST)
    salient: Stack = total * _weigh_centre(*soft.shape[1:])
    return salient


def blurred(stack: Stack, radius: int) -> Stack:
    """Return the mean over a box of 2 x `radius` + 1 pixels a side."""
    width = 2 * radius + 1
    for axis in (1, 2):
        pad = [(0, 0), (0, 0), (0, 0)]
        pad[axis] = (radius + 1, radius)
        total = np.swapaxes(np.cumsum(np.pad(stack, pad, mode="edge"), axis=axis, dtype=np.float32), 0, axis)
        stack = np.swapaxes((total[width:] - total[:-width]) / width, 0, axis)
    return stack


def _measure_contrast(glances: Glances, side: int) -> Stack:
    total = np.zeros_like(glances.luma)
    for centre, around in ((side // 80, side // 12), (side // 32, side // 5)):
        for plane, weight in ((glances.luma, 1.0), (glances.blue, 2.0), (glances.red, 2.0)):
            total += weight * np.abs(blurred(plane, centre) - blurred(plane, around))
    return total


def _measure_rarity(glances: Glances) -> Stack:
    """Measure the self-information of each place's colour in the clip, in bits."""
    luma, blue, red = (plane.astype(np.int32) >> 4 for plane in (glances.luma, glances.blue, glances.red))
    code = luma << 8 | blue << 4 | red
    share = np.bincount(code.ravel(), minlength=4096) / code.size
    bits: Stack = -np.log2(share + 1e-9).astype(np.float32)[code]
    return bits


def _weigh_centre(rows: int, columns: int) -> Stack:
    y, x = np.linspace(-1, 1, rows)[:, None], np.linspace(-1, 1, columns)[None]
    return (1 - _OFF_CENTRE * np.minimum(1, (x**2 + y**2) / 2))[None].astype(np.float32)


# Of the subject beside the mean of its frame. Noise has 1.3, photographs 1.5 to 5, what moves 8 and more (2026-11-21).
_STANDS_OUT = 1.45
# Below it, where a frame's box lies is too weak a hint to move the crop by: the middle of all boxes stands for them.
_FOLLOWED = 3.0
_WHOLE = 0.7  # share of the picture's sides: what fills both is no subject but the picture itself


def find_subject(path: Path, probe: VideoProbe) -> Subject:
    """Find the subject of a clip over time, in shares of the upright picture.

    how="saliency"; or how="centre" without boxes, and the reason, when nothing stands out. Deterministic. MediaError
    when the clip cannot be decoded. Blocks for some tenths of a second: call it on a thread.
    """
    return subject_of(glance(path, probe))


def subject_of(glances: Glances) -> Subject:
    """Find the subject of small frames."""
    maps = salience(glances)
    if maps is None:
        return Subject((), "centre", "nothing stands out: the picture is black or even")
    side = max(maps.shape[1:])
    fine = blurred(maps, side // 24)
    # The wider of the two closes what the edges of a large, plain subject enclose.
    soft = fine + blurred(maps, side // 8)
    found = [box_around(plane, place) for plane, place in zip(fine, follow(soft), strict=True)]
    prominence = _measure_prominence(fine, found)
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
        boxes = (_find_median_box(boxes),)
    return Subject(boxes, "saliency", f"it draws the eye {prominence:.1f} times as much as the rest")


def _find_median_box(boxes: tuple[SubjectBox, ...]) -> SubjectBox:
    left, top, right, bottom = (
        median(values) for values in zip(*((b.left, b.top, b.right, b.bottom) for b in boxes), strict=True)
    )
    return SubjectBox(0.0, left, top, right, bottom)


def _measure_prominence(maps: Stack, boxes: list[Box]) -> float:
    """Measure the most salient place of a box beside the mean of its frame."""
    peaks = [plane[top:bottom, left:right].max() for plane, (left, top, right, bottom) in zip(maps, boxes, strict=True)]
    return float(np.median(np.array(peaks) / np.maximum(1e-6, maps.mean((1, 2)))))
