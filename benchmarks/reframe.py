"""Finding and framing the subject of clips, beside a centre crop.

The clips' subject is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from statistics import mean

from benchmarks.bench import Bench, Row, median_cpu_s
from callsheet.cuts.framing.geometry import Framing, Subject
from callsheet.cuts.framing.reframe import frame_subject
from callsheet.cuts.framing.saliency import find_subject
from callsheet.media.facts import VideoProbe
from callsheet.media.probe import probe_video
from tests.support.subject_clips import FPS, Scene, make_subject_clip

GROUNDS, PANS, LOOKS = ("texture", "busy", "sky"), (0.0, 0.3), ("red", "grey", "dark")
WAYS = (((0.2, 0.5), (0.8, 0.5)), ((0.8, 0.3), (0.25, 0.7)), ((0.2, 0.6), (0.35, 0.6)))
PARTS = ((0.12, 0.4), (0.07, 0.2), (0.2, 0.6))
Truth = Sequence[tuple[float, float, float, float]]


def reframe(bench: Bench) -> list[Row]:
    """Measure in how many frames a 9:16 crop holds all of a moving subject.

    And what finding it in 8 s costs.
    """
    folder = bench.new_folder("reframe")
    scenes = [
        Scene(ground, start, end, PARTS[(n + m) % 3], LOOKS[(n + m + k) % 3], pan, seed=n + m + k + 1)
        for n, ground in enumerate(GROUNDS)
        for m, (start, end) in enumerate(WAYS)
        for k, pan in enumerate(PANS)
    ][:: bench.size(1, 6)]
    ours, centre = [], []
    for number, scene in enumerate(scenes):
        path = folder / f"{number}.mp4"
        truth, probe = make_subject_clip(path, scene), probe_video(path)
        ours.append(_measure_held(find_subject(path, probe), probe, truth, FPS))
        centre.append(_measure_held(Subject((), "centre", ""), probe, truth, FPS))
    long = folder / "long.mp4"
    make_subject_clip(long, Scene("texture", *WAYS[0], size=(1280, 720), frames=8 * FPS))
    cpu_s = median_cpu_s(bench.repeats, lambda: find_subject(long, probe_video(long)))
    return [
        Row(
            f"{len(scenes)} clips of a moving subject, 16:9 -> 9:16",
            f"{mean(ours):.1%} of frames hold all of it",
            f"{mean(centre):.1%} with a centre crop",
            f"ratio {mean(ours) / max(0.001, mean(centre)):.1f}",
        ),
        Row("finding the subject of 8 s of 720p with one key frame", f"{cpu_s:.2f} CPU-s"),
    ]


def _measure_held(subject: Subject, probe: VideoProbe, truth: Truth, fps: int) -> float:
    framing = frame_subject(subject, probe.width, probe.height, Fraction(9, 16), probe.duration_s)
    held = [_is_inside(framing, number / fps, left, right) for number, (left, _, right, _) in enumerate(truth)]
    return sum(held) / len(held)


def _is_inside(framing: Framing, at_s: float, left: float, right: float) -> bool:
    x = _find_x(framing, at_s)
    return framing.how == "pad" or (x - 1 <= left and right <= x + framing.width + 1)


def _find_x(framing: Framing, at_s: float) -> float:
    if framing.how == "pad":
        return 0.0
    before = [key for key in framing.path if key.at_s <= at_s][-1]
    after = next((key for key in framing.path if key.at_s > at_s), before)
    share = (at_s - before.at_s) / (after.at_s - before.at_s) if after is not before else 0.0
    return before.x + (after.x - before.x) * share
