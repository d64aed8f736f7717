"""The plan of a shot's cuts, and forecasts of them before its clip is there. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from callsheet.cuts.encode.cut_plan import find_cut, is_lettered
from callsheet.models import Catalogue
from callsheet.plan.actions import LEFT_OVER, Action, What
from callsheet.plan.inputs import Known
from callsheet.plan.subject_query import look_price
from callsheet.platforms import PlatformSpec
from callsheet.platforms.spec import has_aspect
from callsheet.shots import Shot

# CPU-seconds for a second of cut, and for each megapixel of it besides: a straight line through 2.5, 5.4 and 10.5 CPU-s
# for 8 s of 404x720, 720x1280 and 1080x1920 (veryfast, measured 2026-11-21). A copy takes next to nothing.
_CPU_BASE, _CPU_PER_MP, _CPU_COPY = 0.14, 0.57, 0.02
_SHORT_SIDES = {"720p": 720, "1080p": 1080, "4k": 2160}


@dataclass(frozen=True, slots=True)
class NativeAdvice:
    """The gain of making the clip in `aspect` ("9:16") instead, or besides.

    Instead is for the same price. `whole` are the cuts that would then show the whole picture, `cropped` those that
    would lose a part of it. `usd` is what the clip costs if it is made besides. `saved_cpu_s` is the work of encoders
    that is not done any more.
    """

    aspect: str
    whole: tuple[str, ...]
    cropped: tuple[str, ...]
    before: int
    usd: Decimal | None
    saved_cpu_s: float

    @property
    def sentence(self) -> str:
        """Return the advice in words."""
        cuts = len(self.whole) + len(self.cropped)
        text = (
            f"made in {self.aspect}, the clip would serve {len(self.whole)} of {cuts} cuts without cropping "
            f"({', '.join(self.whole)}) instead of {self.before}, for the same price"
        )
        if self.saved_cpu_s >= 1:
            text += f" and about {self.saved_cpu_s:.0f} CPU-seconds less"
        besides = "" if self.usd is None else f"; a second clip in {self.aspect} would cost {self.usd:.2f} USD"
        return f"{text}{besides if self.cropped else ''}"


@dataclass(frozen=True, slots=True)
class ClipOffer:
    """The clip that is asked for, with its list price (None: not known)."""

    aspect: str
    resolution: str
    duration_s: float
    usd: Decimal | None


def advise_native(
    specs: Sequence[PlatformSpec], clip: ClipOffer, allowed: Sequence[str], *, drawn: bool = False
) -> NativeAdvice | None:
    """Return advice for the model's aspect that serves most of the cuts whole.

    The aspect is one of `allowed` (the model's); None when no other beats `aspect`. `drawn` when something is laid over
    every cut, so that none can be a copy. Aspects are written "9:16".
    """
    aspect = clip.aspect
    short = _SHORT_SIDES.get(clip.resolution.lower(), 720)
    now = _find_whole(specs, aspect, short)
    others = [(_find_whole(specs, other, short), other) for other in allowed if other != aspect]
    best, chosen = max(others, key=lambda found: len(found[0]), default=((), aspect))
    if len(best) <= len(now):
        return None
    work = [_estimate_cpu_s(specs, whole, short, duration_s=clip.duration_s, drawn=drawn) for whole in (now, best)]
    return NativeAdvice(
        aspect=chosen,
        whole=best,
        cropped=tuple(spec.name for spec in specs if spec.name not in best),
        before=len(now),
        usd=clip.usd,
        saved_cpu_s=round(work[0] - work[1], 1),
    )


def _find_whole(specs: Sequence[PlatformSpec], aspect: str, short: int) -> tuple[str, ...]:
    wide, high = (int(part) for part in aspect.split(":"))
    ratio = Fraction(wide, high)
    width, height = (Fraction(short), short / ratio) if ratio <= 1 else (short * ratio, Fraction(short))
    return tuple(spec.name for spec in specs if has_aspect(width, height, spec.aspect_for(width, height)))


def _estimate_cpu_s(
    specs: Sequence[PlatformSpec], whole: Sequence[str], short: int, *, duration_s: float, drawn: bool
) -> float:
    return duration_s * sum(
        _CPU_COPY if spec.name in whole and not drawn else _CPU_BASE + _CPU_PER_MP * _count_megapixels(spec, short)
        for spec in specs
    )


def _count_megapixels(spec: PlatformSpec, short: int) -> float:
    side = min(short, spec.width, spec.height)
    return side * side * max(spec.width, spec.height) / min(spec.width, spec.height) / 1e6


# "encode": the whole picture is shown, but not in the packets that the model gave.
Foreseen = Literal["copy", "encode", "crop"]
_SHORT_EDGES = {"360p": 360, "720p": 720, "1080p": 1080, "4k": 2160}


def clip_size(shot: Shot) -> tuple[Fraction, Fraction]:
    """Return width and height in pixels of the clip that is asked for."""
    width, _, height = (shot.video_aspect_ratio or "16:9").partition(":")
    aspect, edge = Fraction(int(width), int(height)), _SHORT_EDGES.get(shot.resolution or "", 720)
    return edge * max(aspect, Fraction(1)), edge / min(aspect, Fraction(1))


def foreseen(shot: Shot, spec: PlatformSpec) -> Foreseen:
    """Return how a cut will be made, as far as that is known.

    A subject that does not fit a crop is shown whole instead.
    """
    size = clip_size(shot)
    if not has_aspect(*size, spec.aspect_for(*size)):
        return "crop"
    fits = min(size) >= spec.min_short and (spec.max_long is None or max(size) <= spec.max_long)
    return "copy" if fits and not _is_drawn(shot) else "encode"


def plan_cuts(
    shot: Shot, clip: Action, specs: Sequence[PlatformSpec], known: Known, catalogue: Catalogue
) -> list[Action]:
    """Return the actions for the cuts of a clip, which ends as its own action says."""
    job = known.jobs.get(clip.job_key or "")
    cuts = [a for a in known.assets.get(shot.id, ()) if a.kind == "cut" and known.has_file(shot.id, a)]
    what: What = clip.what if clip.what in LEFT_OVER else "create"

    def is_made(spec: PlatformSpec) -> bool:
        return bool(job and job.sha256 and find_cut(cuts, job.sha256, spec, shot.finish))

    actions = [
        Action("cut", f"cut-{spec.name}", "reuse" if is_made(spec) else what, how=foreseen(shot, spec))
        for spec in specs
    ]
    return _add_look(actions, catalogue) if shot.finish.focus == "ask" else actions


def _add_look(cuts: list[Action], catalogue: Catalogue) -> list[Action]:
    """Return the cuts of a clip, with the price of the look at it.

    The first of them to be cropped pays for it, unless it is stored already.
    """
    price = look_price(catalogue.get(catalogue.default_look))
    first = next((n for n, cut in enumerate(cuts) if cut.what == "create" and cut.how == "crop"), None)
    why = "Gemini is asked once where the clip's subject is"
    return [replace(cut, why=why, extra_usd=price) if n == first else cut for n, cut in enumerate(cuts)]


def better_aspect(shot: Shot, specs: Sequence[PlatformSpec], catalogue: Catalogue) -> str:
    """Return in a sentence why the clip had better be made in another aspect.

    "" when there is no better one.
    """
    model = catalogue.find(shot.video_model or "")
    if model is None or not specs:
        return ""
    length_s = shot.length_s or 8
    usd = model.video_price(shot.resolution, length_s)
    clip = ClipOffer(shot.video_aspect_ratio or "16:9", shot.resolution or "720p", float(length_s), usd)
    found = advise_native(specs, clip, model.aspect_ratios, drawn=_is_drawn(shot))
    return found.sentence if found else ""


def _is_drawn(shot: Shot) -> bool:
    return is_lettered(shot.finish) or shot.finish.end_card is not None
