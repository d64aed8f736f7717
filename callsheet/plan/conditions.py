"""The circumstances of a run: clock, limits, use so far, money, and how fast the work goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from callsheet.ledger.quota import RequestLimits
from callsheet.ledger.use import Use
from callsheet.models import Latency
from callsheet.plan.money import Money


@dataclass(frozen=True, slots=True)
class Effort:
    """Seconds of real time that our own work takes one of the machine's processors.

    `opening_s` from the start of a run to its first request, `shot_s` for the steps of a shot around the rest,
    `image_s` for a picture, `video_s` for a clip, `cut_s` for a cut with its poster.
    """

    opening_s: float
    shot_s: float
    image_s: float
    video_s: float
    cut_s: float


# Measured with the demo and with batches of 10 to 60 shots on a machine with 2 processors, 2026-11-21. In a rehearsal
# the service, which paints the pictures and renders the clips, is at work on the same machine.
LIVE = Effort(opening_s=1.5, shot_s=0.15, image_s=0.3, video_s=0.4, cut_s=1.5)
REHEARSAL = Effort(opening_s=1.5, shot_s=0.15, image_s=0.6, video_s=0.9, cut_s=1.5)


@dataclass(frozen=True, slots=True)
class ModelConditions:
    """One model: its limits, how long its requests take, and what was sent of them lately."""

    limits: RequestLimits
    latency: Latency
    use: Use


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a run would find if it began at `now`. `factor` is how much faster than real time its clock goes.

    `look_s` is the time between two looks at an operation, in seconds of the clock.
    """

    now: datetime
    tier: int
    models: Mapping[str, ModelConditions] = field(default_factory=dict)
    money: Money = field(default_factory=Money)
    effort: Effort = LIVE
    factor: float = 1.0
    processors: int = 2
    images_at_once: int = 16
    videos_at_once: int = 64
    encoders: int = 2
    look_s: float = 10.0
