"""The circumstances of a run: clock, limits, use so far, money, and speed of work.

Also which of the paid requests still fit a budget, in the order in which they are sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from callsheet.archive.layout import folder_name
from callsheet.decisions import FrameDecision, FramePin
from callsheet.ledger import Job
from callsheet.ledger.model_usage import Use
from callsheet.ledger.quota import RequestLimits
from callsheet.ledger.spend_window import Position, SpendLimits, lacking
from callsheet.models import Latency
from callsheet.models.schema import Platform
from callsheet.shots import Asset


@dataclass(frozen=True, slots=True)
class Money:
    """The money of a campaign and mode (USD): the budget, what is spent, and reserved.

    The budget is None when there is none. `parked` requests worth `parked_usd` do not fit the budget any more.
    """

    budget: Decimal | None = None
    position: Position = field(default_factory=Position)
    parked: int = 0
    parked_usd: Decimal = Decimal(0)

    @property
    def left(self) -> Decimal | None:
        """The USD that may still be started; None without a budget."""
        return None if self.budget is None else max(Decimal(0), self.budget - self.position.committed)

    def sentence(self) -> str:
        """Return the budget for a person; "" without one."""
        if self.budget is None:
            return ""
        committed = f"${self.position.committed:.2f} of ${self.budget:.2f} is spent or held, ${self.left:.2f} is left"
        if not self.parked:
            return f"Budget: {committed}; the plan fits."
        return f"Budget: {committed}; {self.parked} requests worth ${self.parked_usd:.2f} do not fit and are parked."

    def as_json(self) -> dict[str, object]:
        """Return the money as `callsheet plan --json` prints it."""
        return {
            "usd": None if self.budget is None else float(self.budget),
            "spent": float(self.position.spent),
            "reserved": float(self.position.reserved),
            "left": None if self.left is None else float(self.left),
            "parked": self.parked,
            "parked_usd": float(self.parked_usd),
        }


def fitting(prices: Iterable[Decimal], budget: Decimal | None, position: Position) -> list[bool]:
    """Return for each price in turn whether its request may be sent.

    All that may have to be paid stays in the budget.
    """
    fits: list[bool] = []
    for price in prices:
        fits.append(not lacking(position, price, budget))
        if fits[-1]:
            position = Position(position.spent + price, position.reserved)
    return fits


def amount(low: Decimal, high: Decimal, places: int = 3) -> str:
    """Return an amount in USD, or the span of it: "0.034", "0.034-0.067"."""
    told = f"{low:.{places}f}", f"{high:.{places}f}"
    return told[0] if told[0] == told[1] else "-".join(told)


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

    def has_file(self, shot: str, asset: Asset) -> bool:
        """Return whether an asset's file is really there, in the folder of this shot."""
        return f"shots/{folder_name(shot)}/{asset.name}" in self.files


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
class RouteName:
    """The route that requests to a model would take: platform, and name for people."""

    platform: Platform
    name: str


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
    in seconds of the clock. `unreachable` are the models that no credentials of this process lead to, with what to set;
    `has_credentials`: there are some at all. `routes` has the route to each model of the catalogue that has one.
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
    unreachable: Mapping[str, str] = field(default_factory=dict)
    has_credentials: bool = True
    routes: Mapping[str, RouteName] = field(default_factory=dict)
