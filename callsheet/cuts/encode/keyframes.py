"""Comparison of a cut's pictures with its clip's, by a few small ones.

Black and frozen pictures are found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from callsheet.errors import MediaError
from callsheet.media.probe import SAFE_OPTIONS

_SIDE = 128
# Luma of video goes from 16 (black) to 235. A picture is black when next to nothing of it is brighter than this; one is
# clearly not when a quarter is. Night scenes lie between, and are nobody's fault.
_BLACK_LUMA = 28
_BLACK_SHARE, _SEEN_SHARE = 0.02, 0.25
# Mean difference of luma between two pictures: the encoder makes a still one with less, grain alone has more.
_STILL, _MOVED = 0.3, 2.0
# So long must nothing move before it is looked into, seconds.
_FROZEN_S = 1.9
_GLANCE_S = 0.5


@dataclass(frozen=True, slots=True)
class LumaSample:
    """A small picture of luma, and when it is shown."""

    at_s: float
    luma: NDArray[np.uint8]

    @property
    def bright(self) -> float:
        """The share of the picture that is not black."""
        return float((self.luma > _BLACK_LUMA).mean())


def keyframe_looks(path: Path, until_s: float) -> list[LumaSample]:
    """Return the keyframes that are shown before `until_s` (seconds).

    MediaError when they cannot be decoded.
    """
    return [look for look in _decode(path, keyframes_only=True) if look.at_s < until_s]


def looks_at(path: Path, times: Sequence[float]) -> list[LumaSample]:
    """Return what a clip shows at these rising times, in seconds.

    MediaError when it cannot be decoded. Decodes up to the last.
    """
    found: list[LumaSample] = []
    shown: LumaSample | None = None
    for look in _decode(path, keyframes_only=False):
        while len(found) < len(times) and look.at_s > times[len(found)] + 1e-3:
            found.append(shown or look)
        if len(found) == len(times):
            return found
        shown = look
    return found + [shown] * (len(times) - len(found)) if shown else found


def moves_after(path: Path, at_s: float) -> bool:
    """Return whether anything moves in the half second after a moment.

    A clip that loops has the same picture every time.
    """
    first: LumaSample | None = None
    for look in _decode(path, keyframes_only=False, from_s=at_s):
        first = first or look
        if _measure_difference(first, look) > _STILL:
            return True
        if look.at_s > at_s + _GLANCE_S:
            break
    return False


def find_black(cut: Sequence[LumaSample], clip: Sequence[LumaSample]) -> str:
    """Describe where the cut is black although the clip is not; "" for nothing.

    Or that it is black as all the clip. As the end of "it ...".
    """
    lost = [look.at_s for look, own in zip(cut, clip, strict=False) if is_black(look) and own.bright >= _SEEN_SHARE]
    if lost:
        return f"is black at {lost[0]:.1f} s where the clip is not"
    if cut and all(map(is_black, [*cut, *clip])):
        return "is black from start to end, as the clip is"
    return ""


def find_frozen(cut: Sequence[LumaSample], clip: Sequence[LumaSample]) -> str:
    """Describe where a cut stands still while the clip moves; "" when it does not.

    As the end of "it ...".
    """
    for first, last in still_runs(cut):
        moved = [_measure_difference(a, b) for a, b in pairwise(clip[first : last + 1])]
        if moved and max(moved) >= _MOVED:
            return f"stands still from {cut[first].at_s:.1f} to {cut[last].at_s:.1f} s where the clip moves"
    return ""


def part_of(look: LumaSample, shares: tuple[float, float, float, float], turned: int) -> LumaSample:
    """Cut out the part of a stored picture that is shown.

    Left, top, right, bottom as shares of it when `turned` upright.
    """
    upright = np.rot90(look.luma, -turned // 90)
    left, top, right, bottom = (round(share * _SIDE) for share in shares)
    return LumaSample(look.at_s, upright[top : max(bottom, top + 1), left : max(right, left + 1)])


def still_runs(looks: Sequence[LumaSample]) -> list[tuple[int, int]]:
    """Return the first and last index of every long time in which nothing moves."""
    runs, first = [], 0
    for last in range(1, len(looks) + 1):
        if last == len(looks) or _measure_difference(looks[last - 1], looks[last]) > _STILL:
            if looks[last - 1].at_s - looks[first].at_s >= _FROZEN_S:
                runs.append((first, last - 1))
            first = last
    return runs


def is_black(look: LumaSample) -> bool:
    """Return whether next to nothing is to be seen."""
    return look.bright < _BLACK_SHARE


def _measure_difference(one: LumaSample, other: LumaSample) -> float:
    return float(np.abs(one.luma.astype(np.int16) - other.luma).mean())


def _decode(path: Path, *, keyframes_only: bool, from_s: float = 0.0) -> Iterator[LumaSample]:
    try:
        with av.open(str(path.absolute()), format="mp4", options=SAFE_OPTIONS) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            if keyframes_only:
                stream.codec_context.skip_frame = "NONKEY"
            start_s = float((stream.start_time or 0) * (stream.time_base or 0))
            if from_s:
                container.seek(int((start_s + from_s) / (stream.time_base or 1)), stream=stream)
            for frame in container.decode(stream):
                yield LumaSample(float(frame.time or 0.0) - start_s, _read_luma(frame))
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(f"{path.name} cannot be decoded ({error}). It has to be made or fetched again.") from error


def _read_luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    small = frame.reformat(_SIDE, _SIDE, "yuv420p", interpolation="AREA")
    plane = small.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return np.array(rows[:, : plane.width])
