"""The plan of a cut, as a value, and its recipe, as one hash.

The plan is the cheapest way to make a clip right for a platform. The recipe is everything that determines the cut,
which is made again only when that changes. Nothing is read or run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from callsheet.cuts.encode.fitness import Analysis, clip_length, fitting_rate, max_kbps, upright, why_not_copied
from callsheet.cuts.finishing.layers import Layer
from callsheet.cuts.framing.geometry import Framing, even
from callsheet.cuts.framing.reframe import frame_subject
from callsheet.media.facts import Colours, VideoProbe
from callsheet.platforms import PlatformSpec
from callsheet.platforms.spec import PLAIN
from callsheet.shots import Asset, Finish, Reference

How = Literal["copy", "crop", "pad"]
# Widths of the short side that cuts are scaled to; a smaller clip keeps its own.
_CLASSES = (2160, 1440, 1080, 720)
# Raised when cuts of the same recipe come out otherwise than before; those that are there are then made anew.
CUT_VERSION = 1


@dataclass(frozen=True, slots=True)
class CutPlan:
    """The way a cut is made.

    "copy" keeps the video packets, "crop" scales a part of the picture, "pad" shows all of it. `reason` says in a
    sentence why it is not a copy, or what is copied. `framing` is None for a copy. `duration_s` is the whole cut's: the
    clip's first `clip_s` seconds (`is_trimmed` when it is longer), then `tail_s` in which its last picture stays, under
    an end card. `lead_s` is when the first picture appears in the clip: it becomes time zero of the cut. `rate` is the
    constant frame rate to impose, None to keep the clip's own; `fps` is the one the cut will have. `max_kbps` bounds
    the encoder so that the platform's limits are kept. `inner` is the size in pixels of the whole picture inside a
    padded one. `colours` are the clip's: those that are not BT.709 are converted to it; untagged clips are taken for
    BT.709, as players do. An `interlaced` clip gives a cut that is not.
    """

    spec: PlatformSpec
    how: How
    reason: str
    framing: Framing | None
    width: int
    height: int
    clip_s: float
    fps: float
    has_sound: bool
    tail_s: float = 0.0
    is_trimmed: bool = False
    lead_s: float = 0.0
    rate: int | None = None
    max_kbps: int | None = None
    inner: tuple[int, int] = (0, 0)
    colours: Colours = "bt709"
    layers: tuple[Layer, ...] = ()
    interlaced: bool = False

    @property
    def duration_s(self) -> float:
        """The length of the cut in seconds."""
        return self.clip_s + self.tail_s

    @property
    def crop(self) -> tuple[int, int, int, int] | None:
        """The part that is shown first: x, y, width and height; None without a crop.

        In upright stored pixels.
        """
        if self.framing is None or not self.framing.path:
            return None
        first = self.framing.path[0]
        return first.x, first.y, self.framing.width, self.framing.height


def cut_size(probe: VideoProbe, spec: PlatformSpec) -> tuple[int, int]:
    """Return width and height in pixels of a cut that is encoded.

    MediaError for a clip that cannot be cut. Its shorter side is the clip's size class, at most the spec's: nothing is
    enlarged, unless the platform demands it.
    """
    shown = upright(probe).shown
    return _choose_size(int(min(shown)), spec.aspect_for(*shown), spec)


def plan_cut(
    clip: Analysis,
    spec: PlatformSpec,
    framing: Framing | None = None,
    *,
    layers: Sequence[Layer] = (),
    tail_s: float = 0.0,
    music: bool = False,
) -> CutPlan:
    """Plan a cut.

    MediaError, saying what to do, for a clip that the platform does not take. A clip that already is what the spec
    wants is copied, unless something is drawn on it. Else the part that `framing` names (None: framed by the clip's
    subject) is encoded.
    """
    probe, picture = clip.probe, upright(clip.probe)
    clip_s = clip_length(probe, spec, tail_s)
    reason = "something is drawn on it" if layers or tail_s else why_not_copied(clip, spec, clip_s)
    rate = fitting_rate(clip, spec) if reason else None
    width, height = cut_size(probe, spec) if reason else (probe.width, probe.height)
    if reason and framing is None:
        aspect = spec.aspect_for(*picture.shown) / picture.sar
        framing = frame_subject(clip.subject, picture.width, picture.height, aspect, clip_s)
    return CutPlan(
        spec=spec,
        how=framing.how if reason and framing else "copy",
        reason=reason or f"the clip is as {spec.title} takes it",
        framing=framing if reason else None,
        width=width,
        height=height,
        clip_s=clip_s,
        fps=rate or probe.fps,
        has_sound=music or probe.audio_codec is not None,
        tail_s=tail_s,
        is_trimmed=clip_s < probe.duration_s,
        lead_s=round(max(0.0, probe.video_start_s), 6),
        rate=rate,
        max_kbps=max_kbps(spec, clip_s + tail_s) if reason else None,
        inner=_fit_inside(picture.shown, width, height),
        colours=probe.colours or "bt709",
        layers=tuple(layers),
        interlaced=probe.interlaced,
    )


def _choose_size(short: int, aspect: Fraction, spec: PlatformSpec) -> tuple[int, int]:
    most = min(spec.width, spec.height)
    base = next((size for size in (most, *_CLASSES) if short >= size and size <= most), even(short))
    base = max(base, spec.min_short)
    return (base, even(base / aspect)) if aspect <= 1 else (even(base * aspect), base)


def _fit_inside(shown: tuple[Fraction, Fraction], width: int, height: int) -> tuple[int, int]:
    scale = min(width / shown[0], height / shown[1])
    return min(width, max(2, even(shown[0] * scale))), min(height, max(2, even(shown[1] * scale)))


def recipe(clip_sha256: str, spec: PlatformSpec, finish: Finish) -> str:
    """Return the sha256 (64 hex digits) of what determines the cut of a clip.

    Its bytes, the platform's numbers, the finish. Titles and sources of a platform do not count, nor its safe zone
    while nothing is laid over the picture. What a finish does not have is left out, so that a further kind of finish
    does not change the recipes of cuts without it.
    """
    return _digest([CUT_VERSION, clip_sha256, _digest_spec(spec, is_lettered(finish)), _digest_finish(finish)])


def is_lettered(finish: Finish) -> bool:
    """Return whether something is laid over the picture that keeps to the safe zone."""
    return any((finish.captions, finish.captions_file, finish.logo, finish.label))


def find_cut(cuts: Sequence[Asset], clip_sha256: str, spec: PlatformSpec, finish: Finish) -> Asset | None:
    """Find the cut among these that is the one wanted, None when it has to be made."""
    of_clip = [one for one in cuts if one.kind == "cut" and one.parent == clip_sha256]
    wanted = recipe(clip_sha256, spec, finish) if of_clip else None
    made = next((one for one in of_clip if one.recipe and one.recipe == wanted), None)
    # Cuts of before there were recipes: of these aspects, framed and finished in the one way there was.
    if made is None and spec.name in PLAIN and finish == Finish():
        made = next((one for one in of_clip if one.recipe is None and one.name.startswith(f"cut-{spec.name}-")), None)
    return made


# A batch has few platforms and finishes, and many cuts.
@lru_cache(maxsize=1024)
def _digest_spec(spec: PlatformSpec, lettered: bool) -> str:
    numbers = spec.numbers()
    return _digest(numbers if lettered else {name: value for name, value in numbers.items() if name != "safe"})


@lru_cache(maxsize=1024)
def _digest_finish(finish: Finish) -> str:
    given = {
        "focus": finish.focus,
        "captions": finish.captions,
        "captions_file": _read_hash(finish.captions_file),
        "logo": _read_hash(finish.logo),
        "end_card": _read_hash(finish.end_card),
        "end_card_s": finish.end_card_s if finish.end_card else None,
        "music": _read_hash(finish.music),
        "label": finish.label,
        "font": _read_hash(finish.font),
    }
    return _digest({name: value for name, value in given.items() if value is not None})


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _read_hash(file: Reference | None) -> str | None:
    return file.sha256 if file else None
