"""What can be told of a shot's cuts before its clip is there. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from callsheet.cuts.encode.recipe import is_lettered
from callsheet.models import Catalogue
from callsheet.plan.native import advise_native
from callsheet.platforms import PlatformSpec
from callsheet.platforms.spec import has_aspect
from callsheet.shots import Shot

# "encode": the whole picture is shown, but not in the packets that the model gave.
Foreseen = Literal["copy", "encode", "crop"]
_SHORT_EDGES = {"360p": 360, "720p": 720, "1080p": 1080, "4k": 2160}


def clip_size(shot: Shot) -> tuple[Fraction, Fraction]:
    """Width and height in pixels of the clip that is asked for."""
    width, _, height = (shot.video_aspect_ratio or "16:9").partition(":")
    aspect, edge = Fraction(int(width), int(height)), _SHORT_EDGES.get(shot.resolution or "", 720)
    return edge * max(aspect, Fraction(1)), edge / min(aspect, Fraction(1))


def foreseen(shot: Shot, spec: PlatformSpec) -> Foreseen:
    """How a cut will be made as far as that is known: a subject that does not fit a crop is shown whole instead."""
    size = clip_size(shot)
    if not has_aspect(*size, spec.aspect_for(*size)):
        return "crop"
    fits = min(size) >= spec.min_short and (spec.max_long is None or max(size) <= spec.max_long)
    return "copy" if fits and not _is_drawn(shot) else "encode"


def better_aspect(shot: Shot, specs: Sequence[PlatformSpec], catalogue: Catalogue) -> str:
    """Why the clip had better be made in another aspect, in a sentence; "" when there is no better one."""
    model = catalogue.find(shot.video_model or "")
    if model is None or not specs:
        return ""
    found = advise_native(
        specs,
        shot.video_aspect_ratio or "16:9",
        model.aspect_ratios,
        shot.resolution or "720p",
        float(shot.duration_s or 8),
        model.video_price(shot.resolution, shot.duration_s),
        drawn=_is_drawn(shot),
    )
    return found.sentence if found else ""


def _is_drawn(shot: Shot) -> bool:
    return is_lettered(shot.finish) or shot.finish.end_card is not None
