"""Where small frames draw the eye, pure: what differs from its surroundings, what is rare, and what moves by itself."""

from __future__ import annotations

import numpy as np

from callsheet.framing.glances import Glances, Stack
from callsheet.framing.motion import own_motion

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
    """How much each place of each frame draws the eye; None when the pictures are black or even."""
    side = max(glances.luma.shape[1:])
    soft = blurred(glances.luma, 1)
    contrast = _contrast(glances, side)
    if float(np.percentile(contrast, 99.5)) < _EVEN:
        return None
    moves = np.minimum(own_motion(glances, soft), _SEEN)
    flicker = float(np.median(blurred(moves, side // 24))) / (float(moves.mean()) + 1e-6)
    told = np.clip(blurred(contrast, side // 16) / _PLAIN, 0, 1)
    cues = {
        "contrast": contrast,
        "rarity": _rarity(glances) * told,
        "motion": moves * np.clip((_FLICKER - flicker) / (_FLICKER - _ALIVE), 0, 1),
    }
    total = np.zeros_like(soft)
    for name, cue in cues.items():
        total += _WEIGHTS[name] * np.clip(blurred(cue, side // 50) / (float(cue.mean()) + _FLOORS[name]), 0, _MOST)
    salient: Stack = total * _towards_centre(*soft.shape[1:])
    return salient


def blurred(stack: Stack, radius: int) -> Stack:
    """The mean over a box of 2 x `radius` + 1 pixels a side."""
    width = 2 * radius + 1
    for axis in (1, 2):
        pad = [(0, 0), (0, 0), (0, 0)]
        pad[axis] = (radius + 1, radius)
        total = np.swapaxes(np.cumsum(np.pad(stack, pad, mode="edge"), axis=axis, dtype=np.float32), 0, axis)
        stack = np.swapaxes((total[width:] - total[:-width]) / width, 0, axis)
    return stack


def _contrast(glances: Glances, side: int) -> Stack:
    total = np.zeros_like(glances.luma)
    for centre, around in ((side // 80, side // 12), (side // 32, side // 5)):
        for plane, weight in ((glances.luma, 1.0), (glances.blue, 2.0), (glances.red, 2.0)):
            total += weight * np.abs(blurred(plane, centre) - blurred(plane, around))
    return total


def _rarity(glances: Glances) -> Stack:
    """The self-information of each place's colour within the whole clip, in bits."""
    luma, blue, red = (plane.astype(np.int32) >> 4 for plane in (glances.luma, glances.blue, glances.red))
    code = luma << 8 | blue << 4 | red
    share = np.bincount(code.ravel(), minlength=4096) / code.size
    bits: Stack = -np.log2(share + 1e-9).astype(np.float32)[code]
    return bits


def _towards_centre(rows: int, columns: int) -> Stack:
    y, x = np.linspace(-1, 1, rows)[:, None], np.linspace(-1, 1, columns)[None]
    return (1 - _OFF_CENTRE * np.minimum(1, (x**2 + y**2) / 2))[None].astype(np.float32)
