"""Following one subject through maps of salience, pure."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from callsheet.framing.glances import Stack

Plane = npt.NDArray[np.float32]
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom are outside

_PLACES = 5  # that are looked at in each frame
_REACH = 4  # a subject lies within a quarter of the longer side around its place
_GROW = 0.33  # of the way from the mean to the peak: as far as the subject reaches
# What a jump over the whole picture costs, in shares of a typical peak; a jump within a second is as dear as later.
_JUMP = 1.5


def follow(maps: Stack) -> list[tuple[int, int]]:
    """A place (row, column) in each frame: salient all along and without jumps, the best way by dynamic programming."""
    side = max(maps.shape[1:])
    found = [_peaks(plane, side // 8) for plane in maps]
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
    """The box of what is salient near a place, without its thin ends; near is within _REACH.

    It need not be connected: of a plain subject that moves, only the edges differ.
    """
    reach = max(plane.shape) // _REACH
    y, x = place
    for _ in range(3):
        top, left = max(0, y - reach), max(0, x - reach)
        near = plane[top : y + reach + 1, left : x + reach + 1]
        mean = float(plane.mean())
        weight = np.maximum(0, near - mean - (float(near.max()) - mean) * _GROW)
        rows, columns = _middle(weight.sum(1)), _middle(weight.sum(0))
        y, x = top + sum(rows) // 2, left + sum(columns) // 2
    return left + columns[0], top + rows[0], left + columns[1], top + rows[1]


def _middle(weights: npt.NDArray[np.float32]) -> tuple[int, int]:
    if not weights.any():  # a place kept to for the frames around it, where this one has nothing
        return 0, len(weights)
    total = np.cumsum(weights) / float(weights.sum())
    return int(np.searchsorted(total, 0.04)), int(np.searchsorted(total, 0.96)) + 1


def _peaks(plane: Plane, apart: int) -> list[tuple[float, tuple[int, int]]]:
    left = plane.copy()
    peaks = []
    for _ in range(_PLACES):
        y, x = divmod(int(np.argmax(left)), left.shape[1])
        peaks.append((float(plane[y, x]), (y, x)))
        left[max(0, y - apart) : y + apart + 1, max(0, x - apart) : x + apart + 1] = -np.inf
    return peaks
