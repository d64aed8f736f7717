"""The pipeline as a simulation: the steps of a run with its waiting.

Nothing of its work is done. It follows the flow and callsheet/batch/pipeline.py: groups of shots side by side, each
through pictures, frames, clips and cuts; a place among the requests in flight, then a place in the quota, then the
provider's time, then ours. A day that is full is slept through, as `run --wait` does.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from callsheet.ledger.quota import MARGIN, MINUTE_MEMORY, DayFull, Learned, QuotaLimits, pacific_day, place
from callsheet.ledger.spend_window import SPEND_WINDOW, pacific_month
from callsheet.models import Latency
from callsheet.plan.event_loop import Process, Room, Simulation
from callsheet.plan.inputs import Conditions, ModelConditions, SpendConditions

# Which action of a plan: the shot's place in it, and the action's place in the shot.
Number = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Item:
    """Something to make.

    `paid`: a request has to be sent; `running_s`: for how long its operation is under way. `work_s` are the real
    seconds of our own work for it. `after` is what it is made of, as far as that is made in this run.
    """

    number: Number
    kind: str
    model: str | None = None
    paid: bool = True
    running_s: float | None = None
    work_s: float = 0.0
    usd: Decimal = Decimal(0)
    after: tuple[Number, ...] = ()


@dataclass(frozen=True, slots=True)
class Errand:
    """A group of shots and what is to be made for it, by step.

    `takes` are there or made, and looked at.
    """

    takes: int = 0
    images: Sequence[Item] = ()
    videos: Sequence[Item] = ()
    cuts: Sequence[Item] = ()


@dataclass(slots=True)
class Course:
    """The result of one simulated run, in seconds from its start.

    When items were done, and which were parked. `parked` has the moment at which an item that did not fit its day was
    sent after all.
    """

    seconds: float = 0.0
    done: dict[Number, float] = field(default_factory=dict)
    parked: dict[Number, datetime] = field(default_factory=dict)


def course_of(errands: Sequence[Errand], conditions: Conditions, seed: int) -> Course:
    """Simulate one course that the run could take; the seed draws the latencies."""
    pipeline = _Pipeline(conditions, random.Random(seed))  # noqa: S311  a forecast is no secret
    return pipeline.run(errands)


class _Desk:
    """Gives out the places of one model's quota, in the order of the requests."""

    def __init__(self, pipeline: _Pipeline, model: ModelConditions) -> None:
        self._pipeline = pipeline
        self._limits, self._learned = QuotaLimits(model.limits.rpm, model.limits.rpd), model.use.learned
        self._later = Learned(day_until=self._learned.day_until)
        self._free = self._limits == QuotaLimits() and self._learned == Learned()
        self._times = _Times(list(model.use.times), model.use.today, pacific_day(pipeline.now()))
        self._till = pipeline.till if model.is_metered else None
        self.latency = model.latency
        self.parked = 0
        self.line = Room(pipeline.simulation, 0)
        self.granted: deque[float] = deque()

    def ask(self, usd: Decimal) -> float | datetime:
        """Return the seconds until a request may be sent, which it then is.

        Or the moment until which day or month is full.
        """
        if self._free and self._till is None:
            return 0.0
        now = self._pipeline.now()
        slot = place(self._times, now, self._limits, self._learn())
        if isinstance(slot, DayFull):
            return slot.until
        at = slot.not_before
        if self._till is not None:
            taken = self._till.take(at, usd)
            if taken is None:
                return pacific_month(at)[1]
            at = taken
        self._times.add(at)
        return (at - now).total_seconds()

    def _learn(self) -> Learned:
        """Return what 429 replies said; a lower limit per minute is soon forgotten."""
        return self._learned if self._pipeline.simulation.now < MINUTE_MEMORY.total_seconds() else self._later


class _Till:
    """The money of a scope, in order of time.

    What may be spent in ten minutes and in the month.
    """

    def __init__(self, now: datetime, spend: SpendConditions) -> None:
        self._limits, self._month, self._month_ends = spend.limits, spend.month, pacific_month(now)[1]
        self._recent = deque(reversed(spend.recent))
        self._sum = sum((usd for _, usd in self._recent), Decimal(0))

    def take(self, at: datetime, usd: Decimal) -> datetime | None:
        """Spend the money at the earliest moment from `at` on that has room for it.

        None when the month has none.
        """
        if at >= self._month_ends:
            self._month, self._month_ends = Decimal(0), pacific_month(at)[1]
        if self._limits.per_month is not None and self._month and self._month + usd > self._limits.per_month:
            return None
        if self._limits.per_10min is not None:
            while self._recent and self._sum + usd > self._limits.per_10min:
                moment, amount = self._recent.popleft()
                self._sum -= amount
                at = max(at, moment + SPEND_WINDOW + MARGIN)
            self._recent.append((at, usd))
            self._sum += usd
        self._month += usd
        return at


class _Times:
    """The times of requests, those before the simulation and those in it, ascending.

    Implements quota.Times.
    """

    def __init__(self, recent: list[datetime], today: int, day: tuple[datetime, datetime]) -> None:
        self._times = recent
        # Of today's requests only the latest are known one by one.
        self._day, self._more = day[0], today - sum(day[0] <= time < day[1] for time in recent)

    def add(self, time: datetime) -> None:
        """Add one more, not earlier than all others."""
        self._times.append(time)

    def nth_latest(self, n: int) -> datetime | None:
        """Return the n-th latest time, None when there are fewer."""
        return self._times[-n] if n <= len(self._times) else None

    def count(self, start: datetime, end: datetime) -> int:
        """Return how many lie in [start, end)."""
        more = self._more if start == self._day else 0
        return bisect_left(self._times, end) - bisect_left(self._times, start) + more


class _Pipeline:
    def __init__(self, conditions: Conditions, dice: random.Random) -> None:
        self.simulation = simulation = Simulation()
        self.conditions, self.dice = conditions, dice
        self.course = Course()
        self.till = _Till(conditions.now, conditions.spend)
        self.desks = {name: _Desk(self, model) for name, model in conditions.models.items()}
        self.image_places = Room(simulation, conditions.images_at_once)
        self.video_places = Room(simulation, conditions.videos_at_once)
        self.encoders = Room(simulation, conditions.encoders)
        self.processors = Room(simulation, conditions.processors)
        self.lines: dict[Number, Room] = {}

    def now(self) -> datetime:
        """Return the simulated time."""
        return self.conditions.now + timedelta(seconds=self.simulation.now)

    def run(self, errands: Sequence[Errand]) -> Course:
        for errand in errands:
            self.simulation.start(self._run_group(errand))
        self.course.seconds = self.simulation.run()
        return self.course

    def _run_group(self, errand: Errand) -> Process:
        yield self.conditions.effort.opening_s * self.conditions.factor
        yield [self._make_picture(item) for item in errand.images]
        if errand.takes:
            yield self.conditions.effort.loading_s * self.conditions.factor
        yield [self._work(self.conditions.effort.frame_s) for _ in range(errand.takes)]
        yield [self._make_clip(item) for item in errand.videos]
        yield [self._make_cut(item) for item in errand.cuts]

    def _await_items(self, item: Item) -> Process:
        for number in item.after:
            if number not in self.course.done:
                line = self.lines.setdefault(number, Room(self.simulation, 0))
                yield line
                line.leave()

    def _make_picture(self, item: Item) -> Process:
        yield from self._await_items(item)
        if item.paid:
            yield self.image_places
            yield from self._wait_for_quota(item, self.image_places)
            yield self._find_latency(item).at(self.dice.random())
            self.image_places.leave()
        yield from self._work(item.work_s)
        self._end(item)

    def _end(self, item: Item) -> None:
        """Wake what is made of the item."""
        self.course.done[item.number] = self.simulation.now
        if item.number in self.lines:
            self.lines[item.number].leave()

    def _make_clip(self, item: Item) -> Process:
        yield from self._await_items(item)
        if item.paid:
            yield self.video_places
            yield from self._wait_for_quota(item, self.video_places)
            yield self._find_latency(item).at(self.dice.random())
        elif item.running_s is not None:
            yield max(0.0, self._find_latency(item).at(self.dice.random()) - item.running_s)
        if item.paid or item.running_s is not None:
            yield self.dice.random() * self.conditions.look_s
        yield from self._work(item.work_s)
        if item.paid:
            self.video_places.leave()
        self._end(item)

    def _make_cut(self, item: Item) -> Process:
        yield self.encoders
        yield from self._work(item.work_s)
        self.encoders.leave()
        self.course.done[item.number] = self.simulation.now

    def _find_latency(self, item: Item) -> Latency:
        return self.desks[item.model or ""].latency

    def _work(self, real_s: float) -> Process:
        """Take one of this machine's processors for a piece of work."""
        if real_s:
            yield self.processors
            yield real_s * self.conditions.factor
            self.processors.leave()

    def _wait_for_quota(self, item: Item, places: Room) -> Process:
        """Wait for a place in the quota.

        A picture that has to wait lets others go first meanwhile.
        """
        desk = self.desks[item.model or ""]
        wait = desk.ask(item.usd)
        if isinstance(wait, datetime):
            places.leave()
            yield from self._wait_parked(desk, wait, item.usd)
            self.course.parked[item.number] = pacific_day(self.now())[0]
            wait = desk.granted.popleft()
            yield places
        if wait and item.kind == "image":
            places.leave()
            yield wait
            yield places
        else:
            yield wait

    def _wait_parked(self, desk: _Desk, until: datetime, usd: Decimal) -> Process:
        if not desk.parked:
            self.simulation.start(self._release_parked(desk, until, usd))
        desk.parked += 1
        yield desk.line

    def _release_parked(self, desk: _Desk, until: datetime, usd: Decimal) -> Process:
        """Send, at the turn of each day, as many of the parked requests as fit it."""
        while desk.parked:
            yield (until - self.now()).total_seconds()
            while desk.parked:
                wait = desk.ask(usd)
                if isinstance(wait, datetime):
                    until = wait
                    break
                desk.parked -= 1
                desk.granted.append(wait)
                desk.line.leave()
