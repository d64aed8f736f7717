"""Choice of the part of a clip to show, so that its subject is seen.

One steady crop, a calm move, or the whole picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import median

from callsheet.cuts.framing.geometry import CropKey, Framing, Subject, even, largest_crop, place


@dataclass(frozen=True, slots=True)
class Gate:
    """Bounds of the line at one moment: between `low` and `high`."""

    at_s: float
    low: float
    high: float


def calm_path(gates: Sequence[Gate]) -> list[tuple[float, float]]:
    """Return the turning points (time, value) of the taut string through the gates.

    The gates' times rise; both ends are free. Of all lines through the gates it is the shortest and has the smallest
    greatest speed; it stands still for as long as it can. One point when it never has to move.
    """
    points = [(gates[0].at_s, _find_beginning(gates))]
    at = 0
    while at < len(gates) - 1:
        turn = _find_next_turn(points[-1], gates, at)
        if turn is None:
            break
        at, value = turn
        points.append((gates[at].at_s, value))
    return points


def _find_beginning(gates: Sequence[Gate]) -> float:
    """Return the value that can stay longest from the first gate on.

    On the side to which the line has to go then.
    """
    low, high = gates[0].low, gates[0].high
    for gate in gates[1:]:
        if gate.low > high:
            return high
        if gate.high < low:
            return low
        low, high = max(low, gate.low), min(high, gate.high)
    return (low + high) / 2


def _find_next_turn(start: tuple[float, float], gates: Sequence[Gate], at: int) -> tuple[int, float] | None:
    """Return the gate and the value in it at which the line from `start` ends.

    The line is straight; None when it can go on flat.
    """
    least, most = float("-inf"), float("inf")
    lowest = highest = at
    for n in range(at + 1, len(gates)):
        gate, passed_s = gates[n], gates[n].at_s - start[0]
        up, down = (gate.low - start[1]) / passed_s, (gate.high - start[1]) / passed_s
        if up > most:
            return highest, gates[highest].high
        if down < least:
            return lowest, gates[lowest].low
        if up >= least:
            least, lowest = up, n
        if down <= most:
            most, highest = down, n
    if least > 0:
        return lowest, gates[lowest].low
    if most < 0:
        return highest, gates[highest].high
    return None


# How much of the time a steady crop has to hold the subject; moving crops read as camera shake.
STEADY = 0.95
# Shares of the side along which the crop moves: what the subject may wander before the crop follows, and a calm speed.
DEAD_ZONE, FASTEST_PER_S = 0.04, 0.50
# How much wider than the crop a subject may be found before the whole picture is shown: salience tells the place of a
# subject better than its size. What a person or a model gave is taken at its word.
# What reaches over nearly all of the side is a landscape, of which the middle is as good as any part.
_GUESSED, _TOLD, _WHOLE = 1.6, 1.02, 0.72


@dataclass(frozen=True, slots=True)
class _Span:
    """The subject at one moment along the side on which the crop moves, in pixels."""

    at_s: float
    start: float
    end: float


def frame_subject(subject: Subject, width: int, height: int, aspect: Fraction, duration_s: float) -> Framing:
    """Frame a clip of `width` x `height` upright pixels for `aspect`.

    The aspect is of stored pixels: divide by the SAR. A crop is the largest part with the aspect, true to less than a
    pixel, always inside the picture, all numbers even; a path's first key is at 0 s, its times rise and end within the
    clip. "pad" only when the subject is wider or higher than the crop allows. An unknown subject is the centre.
    `reason` is one sentence for people.
    """
    crop = largest_crop(width, height, aspect)
    axis = 0 if width - crop[0] >= height - crop[1] else 1
    side, part = (width, height)[axis], crop[axis]

    def framing(path: list[tuple[float, int]], reason: str) -> Framing:
        fixed = place((height, width)[axis], crop[1 - axis], 0.5)
        keys = [CropKey(at_s, *((at, fixed) if axis == 0 else (fixed, at))) for at_s, at in path]
        moves = len({at for _, at in path}) > 1
        return Framing("crop", *crop, tuple(keys if moves else keys[:1]), reason)

    spans = _build_spans(subject, axis, side, duration_s)
    if not spans:
        return framing([(0.0, place(side, part, 0.5))], f"the centre: {subject.reason}")
    size, what = median(span.end - span.start for span in spans), _describe(subject)
    if _is_too_large(subject, size, side, part):
        word = ("wide", "high")[axis]
        return Framing(
            "pad", *crop, (), f"the whole picture: {what} is {size / side:.0%} {word}, a crop {part / side:.0%}"
        )
    steady, held = _find_steady(spans, side, part)
    if held >= STEADY:
        return framing([(0.0, steady)], f"steady on {what}")
    return framing(_find_path(spans, side, part), f"follows {what}: a steady crop holds it {held:.0%} of the time")


def _is_too_large(subject: Subject, size: float, side: int, part: int) -> bool:
    if subject.how in ("given", "asked"):
        return size > part * _TOLD
    return part * _GUESSED < size < side * _WHOLE


def _describe(subject: Subject) -> str:
    names = {"given": "the place given", "asked": "the subject that Gemini saw", "saliency": "what stands out"}
    return f"{names.get(subject.how, 'the subject')} ({subject.reason})"


def _build_spans(subject: Subject, axis: int, side: int, duration_s: float) -> list[_Span]:
    """Return the subject along the side in pixels, without outliers.

    In times that rise; with one more at the end.
    """
    timed = {round(box.at_s, 3): box for box in subject.boxes if 0 <= box.at_s <= duration_s}
    boxes = [replace(box, at_s=time_s) for time_s, box in sorted(timed.items())]
    starts = _smooth([(box.left, box.top)[axis] for box in boxes])
    ends = _smooth([(box.right, box.bottom)[axis] for box in boxes])
    spans = [_Span(box.at_s, start * side, end * side) for box, start, end in zip(boxes, starts, ends, strict=True)]
    return spans + _extrapolate(spans, duration_s)


def _smooth(values: list[float]) -> list[float]:
    """Return the median of three neighbours for each value.

    At both ends with what the next two lead to (Tukey's rule for end points).
    """
    if len(values) < 3:
        return values
    inner = [median(values[n - 1 : n + 2]) for n in range(1, len(values) - 1)]
    first = median((values[0], inner[0], 2 * inner[0] - inner[min(1, len(inner) - 1)]))
    last = median((values[-1], inner[-1], 2 * inner[-1] - inner[max(-2, -len(inner))]))
    return [first, *inner, last]


def _extrapolate(spans: list[_Span], duration_s: float) -> list[_Span]:
    """Return the subject at the end of the clip, if it goes on as it went last."""
    if len(spans) < 3 or duration_s <= spans[-1].at_s:
        return []
    before, last = spans[-3], spans[-1]
    share = min(1.0, (duration_s - last.at_s) / (last.at_s - before.at_s))
    by = ((last.start + last.end) - (before.start + before.end)) / 2 * share
    return [_Span(duration_s, last.start + by, last.end + by)]


def _find_steady(spans: list[_Span], side: int, part: int) -> tuple[int, float]:
    """Find the steady crop that shows the subject most of the time.

    And how much of it.
    """
    middle = median((span.start + span.end) / 2 for span in spans)
    wishes = {middle - part / 2, *(span.start for span in spans), *(span.end - part for span in spans)}
    options = {even(max(0.0, min(side - part, wish))) for wish in wishes}

    def worth(at: int) -> tuple[float, float]:
        return _measure_shown(spans, at, side, part), -abs(at + part / 2 - middle)

    best = max(sorted(options), key=worth)
    return best, _measure_shown(spans, best, side, part)


def _measure_shown(spans: list[_Span], at: float, side: int, part: int) -> float:
    inside = [at <= (span.start + span.end) / 2 <= at + part and _is_shown(span, at, side, part) for span in spans]
    return sum(inside) / len(inside)


def _is_shown(span: _Span, at: float, side: int, part: int) -> bool:
    """Return whether all of the subject is seen.

    Of one that is wider than the crop, as much as fits. Some room around it is seen too, but for where the picture
    ends.
    """
    spare = max(0.0, part - (span.end - span.start)) / 8
    start, end = max(0.0, span.start - spare), min(float(side), span.end + spare)
    return min(end, at + part) - max(start, at) >= min(end - start, part) - 2


def _find_path(spans: list[_Span], side: int, part: int) -> list[tuple[float, int]]:
    """Find the calmest move that shows the subject with room to spare."""
    keys = calm_path([_build_gate(span, side, part) for span in spans])
    return _limit_speed([(round(at_s, 3), even(max(0.0, min(side - part, value)))) for at_s, value in keys], side)


def _build_gate(span: _Span, side: int, part: int) -> Gate:
    """Return where the crop may begin so that the subject is in it.

    It has half the room around it to spare.
    """
    room = max(0.0, part - (span.end - span.start)) / 2
    play = max(room / 2, min(room, DEAD_ZONE * side / 2), DEAD_ZONE * side / 8)
    centre = (span.start + span.end - part) / 2
    low, high = (max(0.0, min(float(side - part), centre + by)) for by in (-play, play))
    return Gate(span.at_s, low, high)


def _limit_speed(keys: list[tuple[float, int]], side: int) -> list[tuple[float, int]]:
    """Slow down moves faster than FASTEST_PER_S.

    A subject that flits is left to itself.
    """
    path = [(0.0, keys[0][1])]
    for at_s, value in keys:
        before_s, before = path[-1]
        reach = FASTEST_PER_S * side * (at_s - before_s)
        if at_s > before_s:
            path.append((at_s, even(max(before - reach, min(before + reach, value)))))
    return path
