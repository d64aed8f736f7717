"""The forecast of when a batch will be done.

The courses that a run could take are put into one sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from callsheet.ledger.quota import PACIFIC
from callsheet.ledger.spend_window import SpendLimits
from callsheet.plan.inputs import Conditions
from callsheet.plan.pipeline import Course, Errand, course_of

# Courses that are drawn: more give a steadier mean; a large batch is steady by itself, and its courses take time.
DRAWS, ITEMS_IN_ALL = 16, 12_000
# Above this share of the mean, the time is told as a span.
WIDE = 0.1


@dataclass(frozen=True, slots=True)
class ModelForecast:
    """The requests to one model: how many, its limits, and when the last is done.

    Limits are per minute and day (None: none). `closed`: the provider refused for good when it was asked last, so one
    request is tried before the others.
    """

    model: str
    kind: Literal["image", "video"]
    count: int
    per_minute: int | None
    per_day: int | None
    done_at: datetime
    closed: bool = False

    def as_json(self) -> dict[str, object]:
        """Return the model's part of `callsheet plan --json`."""
        return {
            "model": self.model,
            "kind": self.kind,
            "count": self.count,
            "per_minute": self.per_minute,
            "per_day": self.per_day,
            "done_at": self.done_at.isoformat(),
            "closed": self.closed,
        }


@dataclass(frozen=True, slots=True)
class Forecast:
    """The time when all is done if the run starts now and sleeps through full days.

    That is what `run --wait` does. Seconds of the run's clock, which is `factor` times faster than the real one:
    `seconds` is the mean of the courses that were drawn, `low_s` and `high_s` the fastest and the slowest of them.
    """

    now: datetime
    tier: int
    seconds: float
    low_s: float
    high_s: float
    models: tuple[ModelForecast, ...] = ()
    factor: float = 1.0
    spend: SpendLimits = field(default_factory=SpendLimits)

    @property
    def done_at(self) -> datetime:
        """The time when everything is done (UTC)."""
        return self.now + timedelta(seconds=self.seconds)

    def as_json(self) -> dict[str, object]:
        """Return the forecast as `callsheet plan --json` prints it."""
        return {
            "seconds": round(self.seconds, 1),
            "seconds_low": round(self.low_s, 1),
            "seconds_high": round(self.high_s, 1),
            "clock_factor": self.factor,
            "done_at": self.done_at.isoformat(),
            "models": [model.as_json() for model in self.models],
            "spend": {
                name: None if most is None else float(most)
                for name, most in (("per_10min", self.spend.per_10min), ("per_month", self.spend.per_month))
            },
        }

    def sentences(self) -> list[str]:
        """Return the forecast for a person: a sentence for each model, and one for all."""
        if not self.seconds:
            return ["Nothing to wait for."]
        return [self._describe_model(model) for model in self.models] + self._describe_spend() + [self._describe_all()]

    def _describe_spend(self) -> list[str]:
        """Return what may be spent on the Gemini API, when that bounds this batch."""
        limits = ((self.spend.per_10min, "any 10 minutes"), (self.spend.per_month, "a month"))
        told = " and ".join(f"${most:,.0f} in {span}" for most, span in limits if most is not None)
        if not told:
            return []
        settings = "CALLSHEET_SPEND_10MIN_USD and CALLSHEET_SPEND_MONTH_USD say otherwise"
        return [f"At tier {self.tier} the Gemini API takes {told}: requests wait for it ({settings})."]

    def _describe_model(self, model: ModelForecast) -> str:
        nouns = {"image": ("picture", "pictures"), "video": ("clip", "clips")}[model.kind]
        limits = [(model.per_minute, "a minute"), (model.per_day, "a day")]
        told = ", ".join(f"{most:,} {per}" for most, per in limits if most is not None) or "no limit known"
        noun = nouns[model.count != 1]
        closed = (
            " The last was refused for billing or a limit of 0: one request is tried first." if model.closed else ""
        )
        when = f"done on {pacific(model.done_at)}.{closed}"
        return f"{model.count:,} {noun} of {model.model} at tier {self.tier} ({told}): {when}"

    def _describe_all(self) -> str:
        here = f" of the rehearsal's clock ({span(self.seconds / self.factor)} here)" if self.factor != 1.0 else ""
        low, high = (self.now + timedelta(seconds=seconds) for seconds in (self.low_s, self.high_s))
        if self.high_s - self.low_s > WIDE * self.seconds and pacific(low) != pacific(high):
            return f"All done in about {span(self.seconds)}{here}, between {pacific(low)} and {pacific(high)}."
        return f"All done in about {span(self.seconds)}{here}, on {pacific(self.done_at)}."


def make_forecast(errands: Sequence[Errand], conditions: Conditions) -> tuple[Forecast, Course]:
    """Return the forecast, and the course that says what is parked."""
    items = sum(len(part) for errand in errands for part in (errand.images, errand.videos, errand.cuts))
    draws = max(1, min(DRAWS, ITEMS_IN_ALL // max(1, items)))
    courses = [course_of(errands, conditions, seed) for seed in range(draws)]
    seconds = [course.seconds for course in courses]
    mean = sum(seconds) / draws
    models = tuple(_forecast_model(errands, conditions, name, courses=courses) for name in _list_models(errands))
    spend = conditions.spend.limits if _is_bound(errands, conditions) else SpendLimits()
    low, high = min(seconds), max(seconds)
    return Forecast(conditions.now, conditions.tier, mean, low, high, models, conditions.factor, spend), courses[0]


def _is_bound(errands: Sequence[Errand], conditions: Conditions) -> bool:
    """Return whether the batch may have to wait for the limits of what is spent."""
    items = (item for errand in errands for item in (*errand.images, *errand.videos) if item.model)
    usd = sum((item.usd for item in items if conditions.models[item.model or ""].is_metered), Decimal(0))
    spend = conditions.spend
    usd_10min, usd_month = usd + sum((one for _, one in spend.recent), Decimal(0)), usd + spend.month
    bounds = ((usd_10min, spend.limits.per_10min), (usd_month, spend.limits.per_month))
    return any(most is not None and spent > most for spent, most in bounds)


def _list_models(errands: Sequence[Errand]) -> list[str]:
    used = (item.model for errand in errands for item in (*errand.images, *errand.videos))
    return [model for model in dict.fromkeys(used) if model]


def _forecast_model(
    errands: Sequence[Errand], conditions: Conditions, name: str, *, courses: Sequence[Course]
) -> ModelForecast:
    items = [item for errand in errands for item in (*errand.images, *errand.videos) if item.model == name]
    last = [max(course.done[item.number] for item in items) for course in courses]
    limits, closed = conditions.models[name].limits, conditions.models[name].use.closed_since is not None
    done_at = conditions.now + timedelta(seconds=sum(last) / len(last))
    kind: Literal["image", "video"] = "image" if items[0].kind == "image" else "video"
    return ModelForecast(name, kind, len(items), limits.rpm, limits.rpd, done_at, closed)


def pacific(moment: datetime) -> str:
    """Return a moment as "24 Nov 09:10 Pacific", where quotas are counted."""
    local = moment.astimezone(PACIFIC)
    return f"{local.day} {local:%b %H:%M} Pacific"


def span(seconds: float) -> str:
    """Return a time span for a person: "40 s", "12 min", "3.5 h", "50 days"."""
    for size, word, most in ((1, "s", 120), (60, "min", 7200), (3600, "h", 172_800)):
        if seconds < most:
            return f"{seconds / size:.{1 if word == 'h' else 0}f} {word}"
    return f"{seconds / 86_400:.0f} days"
