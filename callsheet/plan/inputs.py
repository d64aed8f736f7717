"""The circumstances of a run: clock, limits, use so far, money, and speed of work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from callsheet.decisions import FrameDecision, FramePin
from callsheet.ledger import Job
from callsheet.ledger.model_usage import Use
from callsheet.ledger.quota import RequestLimits
from callsheet.ledger.spend_window import SpendLimits
from callsheet.models import Latency
from callsheet.plan.money import Money
from callsheet.shots import Asset


@dataclass(frozen=True, slots=True)
class UnexplainedFile:
    """A file in the archive that may be what is about to be paid for.

    Nothing explains it. `slot` is the take or the kind of file that it may be, "" for anything of the shot.
    """

    shot: str
    name: str
    why: str
    slot: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """The facts of ledger and archive: jobs by key, assets by shot, and file names.

    `files` has names relative to the batch's folder; a stored asset that is not among them is not reused. `earlier` has
    the job that filled a slot of a shot when the batch ran last, by shot and slot. `abandoned` are the keys of jobs
    whose process was gone while their request was under way. `shots` are all that the batch ever had. `decisions` are
    those of people about frames, by shot and in order of time; `pins` are the choices of frames, likewise. `doubts` are
    what the archive has and nothing explains.
    """

    jobs: Mapping[str, Job] = field(default_factory=dict)
    assets: Mapping[str, tuple[Asset, ...]] = field(default_factory=dict)
    files: frozenset[str] = frozenset()
    earlier: Mapping[tuple[str, str], Job] = field(default_factory=dict)
    abandoned: frozenset[str] = frozenset()
    shots: tuple[str, ...] = ()
    decisions: Mapping[str, tuple[FrameDecision, ...]] = field(default_factory=dict)
    pins: Mapping[str, tuple[FramePin, ...]] = field(default_factory=dict)
    doubts: tuple[UnexplainedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkSeconds:
    """Seconds of real time that our own work takes one of the machine's processors.

    `opening_s`: from the start of a run to its first request. `image_s`: a picture, until it is archived. `loading_s`:
    to load what measures takes, once. `frame_s`: to measure a take and make its thumbnail. `video_s`: a clip from the
    last look at its operation until it is archived, with poster. `cut_s`: a cut with its poster; to encode it,
    `encode_s` for each second of a million pixels comes on top.
    """

    opening_s: float
    image_s: float
    loading_s: float
    frame_s: float
    video_s: float
    cut_s: float
    encode_s: float

    def of_cut(self, aspect: float, made_aspect: float, short_edge: int, seconds: float) -> float:
        """Return the seconds for a cut of `aspect` (width through height) from a clip.

        The same aspect is only copied.
        """
        if abs(aspect / made_aspect - 1) < SAME_ASPECT:
            return self.cut_s
        pixels = short_edge**2 * max(aspect, 1 / aspect)
        return self.cut_s + self.encode_s * seconds * pixels / 1e6


SAME_ASPECT = 0.02
# Measured on a machine with 2 processors, 2026-11-21: the demo, `make bench`, and batches of 10 to 60 shots. In a
# rehearsal the service, which paints the pictures and renders the clips, is at work on the same machine.
LIVE = WorkSeconds(opening_s=0.5, image_s=0.05, loading_s=1.0, frame_s=0.3, video_s=0.4, cut_s=0.6, encode_s=0.52)
REHEARSAL = WorkSeconds(opening_s=0.5, image_s=0.15, loading_s=1.0, frame_s=0.3, video_s=0.8, cut_s=0.6, encode_s=0.52)


@dataclass(frozen=True, slots=True)
class ModelConditions:
    """One model: its limits, its speed, and what was sent to it lately.

    `is_metered`: its money counts towards `Conditions.spend`.
    """

    limits: RequestLimits
    latency: Latency
    use: Use
    is_metered: bool = False


@dataclass(frozen=True, slots=True)
class SpendConditions:
    """The limits on spending, and what was spent.

    `recent` has the last ten minutes, the latest first; `month` is this month's.
    """

    limits: SpendLimits = field(default_factory=SpendLimits)
    recent: tuple[tuple[datetime, Decimal], ...] = ()
    month: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions that a run would find if it began at `now`.

    `factor` is how much faster than real time its clock goes. `look_s` is the time between two looks at an operation,
    in seconds of the clock.
    """

    now: datetime
    tier: int
    models: Mapping[str, ModelConditions] = field(default_factory=dict)
    money: Money = field(default_factory=Money)
    spend: SpendConditions = field(default_factory=SpendConditions)
    effort: WorkSeconds = LIVE
    factor: float = 1.0
    processors: int = 2
    images_at_once: int = 16
    videos_at_once: int = 64
    encoders: int = 2
    look_s: float = 10.0
