"""A cheap look at a clip: small frames as luma and colour, and motion in them.

Motion is what the camera's movement does not explain: differences in time after it is taken out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import av.error
import numpy as np
import numpy.typing as npt

from callsheet.errors import MediaError
from callsheet.media.facts import VideoProbe
from callsheet.media.probe import SAFE_OPTIONS

Stack = npt.NDArray[np.float32]

SIDE = 128  # px of the longer side: a subject of 5 % of the width is still six pixels
PER_SECOND, LEAST, MOST = 2.0, 12, 64
# Key frames alone cost 0.16 instead of 0.6 CPU-s for 8 s of 720p (measured 2026-11-21); so close together they do.
_KEYS_APART_S = 1.1
Plane = npt.NDArray[np.float32]
Map = npt.NDArray[np.float64]  # rows and columns to move by, for each place

# Between frames that are compared: subjects move more than a pixel meanwhile, cameras less than a quarter of a picture.
LAG_S = 0.7
# Grey levels that a shift may leave unexplained in three quarters of the picture, which no subject fills, before turns
# and zooms are looked for.
_EXPLAINED, _GROUND = 0.5, 75
_BLOCKS = (2, 3)


@dataclass(frozen=True, slots=True)
class Glances:
    """Frames of a clip, upright with square pixels, at most 128 px a side.

    `times` are seconds from the first picture. `luma`, `blue` and `red` (differences) are stacks of frames x rows x
    columns, 0..255.
    """

    times: tuple[float, ...]
    luma: Stack
    blue: Stack
    red: Stack


def glance(path: Path, probe: VideoProbe) -> Glances:
    """Read up to 64 small frames spread evenly over the clip.

    Key frames alone when there are enough. MediaError when damaged.
    """
    try:
        seen = _decode(path, probe)
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(f"{path.name} cannot be decoded ({error}). It has to be fetched again.") from error
    if not seen:
        raise MediaError(f"{path.name} holds no picture that can be decoded. It has to be fetched again.")
    planes = np.rot90(np.stack([frame for _, frame in seen]), -(probe.rotation or 0) // 90, axes=(2, 3))
    luma, blue, red = (np.ascontiguousarray(planes[:, plane], dtype=np.float32) for plane in range(3))
    return Glances(tuple(at for at, _ in seen), luma, blue, red)


def _decode(path: Path, probe: VideoProbe) -> list[tuple[float, npt.NDArray[np.uint8]]]:
    wide, high = _fit_small(probe)
    step_s, due_s = min(max(1 / PER_SECOND, probe.duration_s / MOST), probe.duration_s / LEAST), 0.0
    seen: list[tuple[float, npt.NDArray[np.uint8]]] = []
    with av.open(str(path.absolute()), format="mp4", options=SAFE_OPTIONS) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        start_s = float((stream.start_time or 0) * (stream.time_base or 0))
        keys_only = _has_enough_keys(container, stream, probe.duration_s)
        # Frames that no other needs are left out, and so is the smoothing of block edges: small pictures hide both.
        stream.codec_context.skip_frame = "NONKEY" if keys_only else "NONREF"
        stream.codec_context.options = {"skip_loop_filter": "all"}
        for frame in container.decode(stream):
            at_s = max(0.0, (frame.time or 0.0) - start_s)
            if at_s < due_s - 1e-6:
                continue
            due_s = (at_s // step_s + 1) * step_s
            small = frame.reformat(wide, high, "yuv444p", interpolation="AREA")
            seen.append((at_s, small.to_ndarray().astype(np.uint8, copy=False)))
            if len(seen) > MOST:
                break
    return seen


def _has_enough_keys(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, duration_s: float
) -> bool:
    keys = (packet.pts for packet in container.demux(stream) if packet.is_keyframe and packet.pts is not None)
    times = [float(pts * (stream.time_base or 0)) for pts in keys]
    container.seek(0)
    gaps = [after - before for before, after in pairwise(times)]
    return len(times) >= 6 and max(gaps) <= max(_KEYS_APART_S, duration_s / MOST)


def _fit_small(probe: VideoProbe) -> tuple[int, int]:
    """Return the size of a small copy as it is stored, with square pixels."""
    width, height = float(probe.width * probe.sar), float(probe.height)
    scale = min(1.0, SIDE / max(width, height))
    return max(8, round(width * scale)), max(8, round(height * scale))


def own_motion(glances: Glances, soft: Stack) -> Stack:
    """Measure how much each place differs from what the camera's movement explains.

    `soft` is the luma, a little blurred. A place counts when it differs from an earlier and from a later frame, so what
    a subject uncovers does not. At both ends of the clip frames on the one side are taken, by which time it has moved
    on.
    """
    count = len(glances.times)
    total = np.zeros_like(soft)
    if count < 3:
        return total
    lag = min(max(1, round(LAG_S * (count - 1) / max(glances.times[-1], 1e-3))), (count - 1) // 2)
    for n in range(count):
        total[n] = np.minimum.reduce([_measure_change(soft[n], soft[other]) for other in _choose_others(n, lag, count)])
    return total


def _choose_others(n: int, lag: int, count: int) -> list[int]:
    """Return the frames that frame `n` is compared with.

    One before and one after, or up to three on one side.
    """
    both = [n - lag, n + lag]
    if both[0] < 0:
        both = [n + lag, n + 2 * lag, n + 3 * lag]
    elif both[1] >= count:
        both = [n - lag, n - 2 * lag, n - 3 * lag]
    return [other for other in both if 0 <= other < count]


def _measure_change(now: Plane, other: Plane) -> Plane:
    """Measure how far each place of `now` lies outside what `other` shows around it.

    Under the movement that explains most.
    """
    dy, dx = _find_shift(now, other)
    whole = np.zeros((2, *now.shape))
    tried = [_measure_outside(now, other, whole)]
    if (dy, dx) != (0, 0):
        whole = whole + np.array([dy, dx])[:, None, None]
        tried.append(_measure_outside(now, other, whole))
    if min(float(np.percentile(change, _GROUND)) for change in tried) > _EXPLAINED:
        tried.append(_measure_outside(now, other, whole + _fit_bend(now, np.roll(other, (dy, dx), (0, 1)))))
    return min(tried, key=lambda change: float(change.mean()))


def _find_shift(now: Plane, other: Plane) -> tuple[int, int]:
    """Return the rows and columns by which `other` lies over `now`.

    By phase correlation.
    """
    rows, columns = now.shape
    window = np.hanning(rows)[:, None] * np.hanning(columns)[None]
    one, two = (np.fft.rfft2((plane - plane.mean()) * window) for plane in (now, other))
    cross = one * np.conj(two)
    peak = np.fft.irfft2(cross / (np.abs(cross) + 1e-3), s=now.shape)
    y, x = divmod(int(np.argmax(peak)), columns)
    return (y if y <= rows // 2 else y - rows), (x if x <= columns // 2 else x - columns)


def _fit_bend(now: Plane, other: Plane) -> Map:
    """Fit the movement that differs from place to place, as a zoom or a turn does.

    A plane through the shifts of blocks.
    """
    rows, columns = now.shape
    high, wide = rows // _BLOCKS[0], columns // _BLOCKS[1]
    points, shifts = [], []
    for top in range(0, rows - high + 1, high):
        for left in range(0, columns - wide + 1, wide):
            block = np.s_[top : top + high, left : left + wide]
            points.append((1.0, top + high / 2, left + wide / 2))
            shifts.append(_find_shift(now[block], other[block]))
    at, by = np.array(points), np.array(shifts, dtype=np.float64)
    weights = np.ones(len(at))
    for _ in range(3):  # a block that the subject fills moves otherwise, and counts less each time
        plane, *_ = np.linalg.lstsq(at * weights[:, None], by * weights[:, None], rcond=None)
        weights = 1 / (1 + np.abs(by - at @ plane).sum(1))
    y, x = np.mgrid[:rows, :columns]
    bent: Map = plane[0][:, None, None] + plane[1][:, None, None] * y + plane[2][:, None, None] * x
    return bent


def _measure_outside(now: Plane, other: Plane, by: Map) -> Plane:
    # The range of the nine pixels around takes up what is less than a pixel.
    low, high = other, other
    for axis in (0, 1):
        low = np.minimum(low, np.minimum(np.roll(low, 1, axis), np.roll(low, -1, axis)))
        high = np.maximum(high, np.maximum(np.roll(high, 1, axis), np.roll(high, -1, axis)))
    rows, columns = now.shape
    y, x = np.mgrid[:rows, :columns]
    y, x = np.rint(y - by[0]).astype(np.intp), np.rint(x - by[1]).astype(np.intp)
    # What came in at the edges has nothing that it could be compared with.
    inside = (y > 1) & (y < rows - 2) & (x > 1) & (x < columns - 2)
    y, x = np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)
    gone: Plane = np.where(inside, np.maximum(0, np.maximum(now - high[y, x], low[y, x] - now)), 0)
    return gone
