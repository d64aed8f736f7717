"""The choice of the takes to be animated: a pure ranking of measured scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from callsheet.media.facts import FrameScore, ImageProbe
from callsheet.shots import Select

LUMA_MIN, LUMA_MAX = 25.0, 230.0
ENTROPY_MIN = 4.0
CLIPPED_MAX = 0.98
# Calibrated 2026-11-21 on 20 photographs and on darkened, flattened, night and packshot pictures: night scenes and
# products on white fail plain limits of luma, clipping (10 %) and entropy, but have contrast (20 and more). Dead
# pictures have less than 12. So luma and entropy count only where contrast is weak.
CONTRAST_WEAK = 15.0
ASPECT_TOLERANCE = 0.02
NEAR_DUPLICATE_BITS = 6
# Mean difference of luma (0-255) between pictures of a clip that are a fifth of it apart. A still picture encoded as a
# video has at most 0.07, with grain; a small dot that moves over a plain ground 0.8 (640x360, measured 2026-12-01).
MOTION_MIN, STILL = 0.3, "without motion"
# Of the sharpest sibling. A Gaussian blur of 2 px leaves 14 % of the sharpness, one of 4 px leaves 3 % (measured
# 2026-11-21). Without this a blurred take could win a shot of two by its contrast and colour.
BLURRED_SHARE = 0.125

# What is ranked within a shot, and how the winner of each is praised.
_MEASURES: dict[str, Callable[[FrameScore], float]] = {
    "sharpest": lambda score: score.sharpness,
    "most contrast": lambda score: score.contrast,
    "most colour": lambda score: score.colourfulness,
    "best exposed": lambda score: -(abs(score.luma - 128) / 128 + score.clipped),
}


@dataclass(frozen=True, slots=True)
class FrameCandidate:
    """A take that was made.

    `gate`: why it fails the gates, or None. `score` None: it cannot be decoded, or, with a gate, it is whole and cannot
    be measured here.
    """

    take: int
    score: FrameScore | None
    gate: str | None = None


@dataclass(frozen=True, slots=True)
class FrameVerdict:
    """The findings about one take.

    `rank` is 0..1 (1 best) among the decodable takes, None if not decodable.
    """

    take: int
    rank: float | None
    rejected: str | None
    chosen: bool
    why: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen takes in order, with a verdict for each candidate by take number.

    Also the takes asked for that do not exist.
    """

    chosen: tuple[int, ...]
    verdicts: tuple[FrameVerdict, ...]
    missing: tuple[int, ...] = ()


def gate(score: FrameScore, probe: ImageProbe, aspect_ratio: str | None = None) -> str | None:
    """Return why a picture is not fit to be animated, or None.

    The reason is the end of "take 2 is ...". `aspect_ratio` is the one that was asked for ("16:9"); more than 2 % away
    from it fails.
    """
    if aspect_ratio is not None:
        wide, high = (int(part) for part in aspect_ratio.split(":"))
        if abs(probe.width * high / (probe.height * wide) - 1) > ASPECT_TOLERANCE:
            return f"{probe.width}x{probe.height} px instead of {aspect_ratio}"
    return _find_fault(score)


def _find_fault(score: FrameScore) -> str | None:
    """Return why a picture is not fit by its light, or None."""
    if score.clipped > CLIPPED_MAX:
        return "nearly all black" if score.luma < 128 else "nearly all white"
    if score.contrast >= CONTRAST_WEAK:
        return None
    if score.luma < LUMA_MIN:
        return "too dark"
    if score.luma > LUMA_MAX:
        return "too bright"
    return "flat, without detail" if score.entropy < ENTROPY_MIN else None


def choose_clip(clips: Mapping[int, tuple[FrameScore, float]]) -> tuple[int, str, dict[int, float]]:
    """Choose the clip of a frame that goes on, by score and motion of each.

    Returns its number, why, and the rank of each, 0..1 (1 best). It is the one of the highest rank among those that
    pass the gates; when none does, among all: they were paid for.
    """
    scores = {n: score for n, (score, _) in sorted(clips.items())}
    ranks = _rank(scores)
    faults = {n: _find_fault(score) or (STILL if clips[n][1] < MOTION_MIN else None) for n, score in scores.items()}
    fit = [n for n in scores if faults[n] is None]
    chosen = min(fit or scores, key=lambda n: (-ranks[n], n))
    others = "; ".join(f"clip {n} is {fault}" for n, fault in faults.items() if fault and n != chosen)
    own = f" although it is {faults[chosen]}" if faults[chosen] else ""
    reason = _praise(chosen, scores, [n for n in fit if n != chosen])
    return chosen, f"best of {len(scores)}{own}: {reason}" + (f"; {others}" if others else ""), ranks


def choose_frames(
    candidates: Sequence[FrameCandidate], select: Select, asked_for: str = "asked for by number"
) -> Choice:
    """Choose the takes to animate, in order, with reasons.

    The choice is the same for any order of the candidates. "best": the highest rank after gates and near-duplicates;
    when every take fails the gates, the best of them (it was paid for, and a person may still want it). "first": the
    first that passes the gates, else the first decodable. "all": every decodable take. "approve": none, a person
    chooses. Numbers: those takes as they are, in that order, if they were made; `asked_for` says why.
    """
    made = {candidate.take: candidate for candidate in sorted(candidates, key=lambda candidate: candidate.take)}
    scores = {take: one.score for take, one in made.items() if one.score is not None}
    ranks = _rank(scores)
    rejected = _find_rejections(made, scores)
    fit = [take for take in scores if take not in rejected]
    missing: tuple[int, ...] = ()
    if isinstance(select, tuple):
        asked = tuple(dict.fromkeys(select))
        chosen = tuple(take for take in asked if take in made)
        missing = tuple(take for take in asked if take not in made)
    elif select == "approve":
        chosen = ()
    elif select == "all":
        chosen = tuple(take for take, one in made.items() if one.score is not None or one.gate is not None)
    elif select == "first":
        passed = [take for take in scores if made[take].gate is None]
        chosen = tuple((passed or list(scores))[:1])
    else:
        chosen = tuple(sorted(fit or scores, key=lambda take: (-ranks[take], take))[:1])
    if not chosen and select in ("best", "first"):
        # Whole, though nothing here can measure it: better than nothing, for it was paid for.
        chosen = tuple(take for take, one in made.items() if one.gate is not None)[:1]

    def explain(take: int) -> str:
        if isinstance(select, tuple):
            return asked_for + (f"; it is {rejected[take]}" if take in rejected else "")
        return _explain(take, select, scores, rejected=rejected)

    verdicts = tuple(
        FrameVerdict(
            take=take,
            rank=ranks.get(take),
            rejected=rejected.get(take),
            chosen=take in chosen,
            why=explain(take) if take in chosen else "",
        )
        for take in made
    )
    return Choice(chosen, verdicts, missing)


def _rank(scores: dict[int, FrameScore]) -> dict[int, float]:
    if len(scores) == 1:
        return dict.fromkeys(scores, 1.0)
    ranks = {}
    for take in scores:
        places = []
        for measure in _MEASURES.values():
            own, others = measure(scores[take]), [measure(score) for other, score in scores.items() if other != take]
            places.append(sum((own > value) + (own == value) / 2 for value in others) / len(others))
        ranks[take] = round(sum(places) / len(places), 6)
    return ranks


def _find_rejections(made: dict[int, FrameCandidate], scores: dict[int, FrameScore]) -> dict[int, str]:
    rejected = {take: one.gate or "" for take, one in made.items() if one.gate is not None}
    rejected.update({take: one.gate or "not decodable" for take, one in made.items() if one.score is None})
    sharpest = max((scores[take].sharpness for take in scores if take not in rejected), default=0.0)
    for take in scores.keys() - rejected.keys():
        if scores[take].sharpness < sharpest * BLURRED_SHARE:
            rejected[take] = "blurred"
    kept: list[int] = []
    for take in sorted(scores.keys() - rejected.keys(), key=lambda take: (-scores[take].sharpness, take)):
        twin = next((k for k in kept if hamming(scores[take].dhash, scores[k].dhash) <= NEAR_DUPLICATE_BITS), None)
        if twin is None:
            kept.append(take)
        else:
            rejected[take] = f"a near-duplicate of take {twin}, which is sharper"
    return dict(sorted(rejected.items()))


def _explain(take: int, select: Select, scores: dict[int, FrameScore], *, rejected: dict[int, str]) -> str:
    fit = [other for other in scores if other not in rejected]
    own = f"; it is {rejected[take]}" if take in rejected else ""
    if select == "all":
        return f"all takes were asked for{own}"
    others = ", ".join(f"take {other} is {reason}" for other, reason in rejected.items() if other != take)
    if select == "first":
        skipped = ", ".join(f"take {other} is {reason}" for other, reason in rejected.items() if other < take)
        if take in rejected and not fit:
            return f"the first, although every take fails the gates{own}"
        return f"the first that passes the gates{own}" + (f"; {skipped}" if skipped else "")
    if not fit:
        return f"best of {len(scores)} although every take fails the gates{own}" + (f", {others}" if others else "")
    if len(scores) == 1 and not others:
        return "the only take"
    reason = _praise(take, scores, [other for other in fit if other != take])
    return f"best of {len(scores)}: {reason}" + (f"; {others}" if others else "")


def _praise(number: int, scores: Mapping[int, FrameScore], rivals: Sequence[int]) -> str:
    """Return what a take or clip is best at among its rivals, in words."""
    own = scores[number]
    praise = [word for word, of in _MEASURES.items() if rivals and all(of(own) > of(scores[one]) for one in rivals)]
    reason = " and ".join([", ".join(praise[:-1]), praise[-1]] if len(praise) > 1 else praise)
    return reason or ("the highest mean rank" if rivals else "the only one that passes")


def hamming(first: int, second: int) -> int:
    """Return the number of bits in which two hashes differ."""
    return (first ^ second).bit_count()
