"""A model of the catalogue: capabilities, legality, price, limits, retirement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from math import sqrt

from callsheet.errors import CatalogueError
from callsheet.models.controls import Controls, Extension
from callsheet.models.schema import Confidence, Kind, PersonTask, Platform, Status, Surface
from callsheet.suggestions import ratio_value

# The surfaces whose requests callsheet can make; models on other surfaces are listed but not used.
DRIVEN_SURFACES: Mapping[str, tuple[str, ...]] = {
    "image": ("generate_content",),
    "video": ("predict_long_running", "interactions"),
    "look": ("generate_content",),
}
_VIDEO_PIXELS = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080), "4k": (3840, 2160)}
# To what sums of money are rounded, in the ledger and in the rehearsal service.
MICRO_USD = Decimal("0.000001")
_LINEAR_SIZE = {"512": 0.5, "1K": 1.0, "2K": 2.0, "4K": 4.0}


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """Requests per minute and per day; None is unknown or unlimited."""

    rpm: int | None = None
    rpd: int | None = None


@dataclass(frozen=True, slots=True)
class Defaults:
    """The values that a shot gets when it names none.

    None where the model has no such thing. `ratios` are those of which the nearest one is taken; () for all that the
    model makes.
    """

    aspect_ratio: str | None = None
    size: str | None = None
    resolution: str | None = None
    duration_s: int | None = None
    ratios: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from request to result.

    Never under `min` or over `max`, half of the requests within `typical`. `tail` shapes the slow half: 1 is even, more
    means that few requests come near `max`.
    """

    min: float
    typical: float
    max: float
    tail: float = 3.0

    def at(self, share: float) -> float:
        """Return the seconds within which `share` (0 to 1) of the requests are answered."""
        if share < 0.5:
            return self.min + (self.typical - self.min) * 2 * share
        return self.typical + (self.max - self.typical) * float((2 * share - 1) ** self.tail)

    @classmethod
    def around(cls, seconds: float) -> Latency:
        """Return a latency of these seconds, and up to a quarter less or more, evenly."""
        return cls(0.75 * seconds, seconds, 1.25 * seconds, tail=1.0)


@dataclass(frozen=True, slots=True)
class LegalityRule:
    """A limit on durations: when all conditions hold, only these (seconds) are legal.

    A condition that is not set always holds.
    """

    durations_s: tuple[int, ...]
    resolutions: tuple[str, ...] = ()
    aspect_ratios: tuple[str, ...] = ()
    references: bool | None = None
    last_frame: bool | None = None

    def applies(self, aspect_ratio: str, resolution: str, references: bool, last_frame: bool) -> bool:
        """Return whether the rule is about this video."""
        return (
            (not self.resolutions or resolution in self.resolutions)
            and (not self.aspect_ratios or aspect_ratio in self.aspect_ratios)
            and self.references in (None, references)
            and self.last_frame in (None, last_frame)
        )

    def reason(self, resolution: str) -> str:
        """Return what about the video makes the rule apply, for a message."""
        if self.resolutions:
            return f"at {resolution}"
        if self.references:
            return "with reference images"
        return "with a last frame" if self.last_frame else "with these inputs"


@dataclass(frozen=True, slots=True)
class PriceChange:
    """The prices that hold from a (Pacific) day on."""

    since: date
    per_image_usd: Mapping[str, Decimal] = field(default_factory=dict)
    per_second_usd: Mapping[str, Decimal] = field(default_factory=dict)
    per_mtok_usd: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Model:
    """One model, live or retired.

    Prices are USD list prices; `latency_s` is in seconds, `max_bytes` per picture. `image_tokens` are those of one
    picture that is made, by size, `video_tokens` those of a second of video, by resolution. `begun_on` is the platform
    that a batch was begun with for this model, which no later run of it leaves; None leaves it to the credentials.
    """

    id: str
    name: str
    kind: Kind
    surface: Surface
    status: Status
    platforms: tuple[Platform, ...]
    latency_s: Latency
    checked_on: date
    released: date | None = None
    retired_on: date | None = None
    replacement: str | None = None
    better: str | None = None
    locations: tuple[str, ...] = ()
    no_minors: frozenset[str] = frozenset()
    no_video_uploads: frozenset[str] = frozenset()
    aspect_ratios: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    resolutions: tuple[str, ...] = ()
    durations_s: tuple[int, ...] = ()
    rules: tuple[LegalityRule, ...] = ()
    defaults: Defaults = Defaults()
    reference_images: int = 0
    style_references: bool = False
    first_frame: bool = False
    edit_video: bool = False
    last_frame: bool = False
    max_bytes: int = 20 * 1024 * 1024
    mime_types: tuple[str, ...] = ()
    prompt_tokens: int | None = None
    controls: Controls = field(default_factory=Controls)
    extension: Extension | None = None
    source: tuple[str, ...] = ()
    confidence: Confidence = "low"
    pixels: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict, repr=False)
    person_generation: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict, repr=False)
    seed: Mapping[str, bool] = field(default_factory=dict, repr=False)
    per_image_usd: Mapping[str, Decimal] = field(default_factory=dict, repr=False)
    per_second_usd: Mapping[str, Decimal] = field(default_factory=dict, repr=False)
    per_mtok_usd: Mapping[str, Decimal] = field(default_factory=dict, repr=False)
    image_tokens: Mapping[str, int] = field(default_factory=dict, repr=False)
    video_tokens: Mapping[str, int] = field(default_factory=dict, repr=False)
    limits_by_tier: Mapping[str, ModelLimits] = field(default_factory=dict, repr=False)
    price_changes: tuple[PriceChange, ...] = field(default=(), repr=False)
    begun_on: Platform | None = None

    def price_on(self, day: date) -> Model:
        """Return the model with the prices of that (Pacific) day."""
        due = [change for change in self.price_changes if change.since <= day]
        if not due:
            return self
        last = max(due, key=lambda change: change.since)
        return replace(
            self,
            per_image_usd=last.per_image_usd,
            per_second_usd=last.per_second_usd,
            per_mtok_usd=last.per_mtok_usd,
            price_changes=tuple(change for change in self.price_changes if change.since > day),
        )

    @property
    def driven(self) -> bool:
        """Return whether callsheet speaks the surface this model is served on."""
        return self.surface in DRIVEN_SURFACES.get(self.kind, ())

    @property
    def kept_defaults(self) -> Defaults:
        """Return the defaults with all that shots get from them.

        They go on record of a batch.
        """
        return replace(self.defaults, ratios=self.defaults.ratios or self.aspect_ratios)

    def is_retired(self, on: date) -> bool:
        """Return whether the model is shut down on that day."""
        if self.retired_on is not None:
            return self.retired_on <= on
        return self.status == "retired"

    def limits(self, tier: int) -> ModelLimits:
        """Return a tier's published requests per minute and day; None where unknown."""
        return self.limits_by_tier.get(str(tier)) or self.limits_by_tier.get("any") or ModelLimits()

    def image_price(self, size: str) -> Decimal:
        """Return the USD of one picture.

        Raises CatalogueError when the catalogue has no price for the size.
        """
        return self._find_price(self.per_image_usd, size, "picture of size")

    def video_price(self, resolution: str | None, duration_s: int | None) -> Decimal:
        """Return the USD of one video of that many seconds.

        None stands for the model's default. Raises CatalogueError if not priced.
        """
        seconds = duration_s if duration_s is not None else (self.defaults.duration_s or 0)
        return (
            self._find_price(self.per_second_usd, resolution or self.defaults.resolution or "", "second of") * seconds
        )

    def token_price(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Return the USD of a request with so many tokens.

        Raises CatalogueError when the catalogue has no price for them.
        """
        tokens = {"input": input_tokens, "output": output_tokens}
        return (
            sum(
                (self._find_price(self.per_mtok_usd, of, "million tokens of") * n for of, n in tokens.items()),
                Decimal(0),
            )
            / 1_000_000
        )

    def image_pixels(self, aspect_ratio: str, size: str) -> tuple[int, int]:
        """Return the width and height of a picture in pixels.

        Without a table they are computed at about 1 megapixel (times the size).
        """
        known = self.pixels.get(aspect_ratio, {}).get(size)
        if known:
            return known
        ratio = ratio_value(aspect_ratio) or 1.0
        edge = 1024 * _LINEAR_SIZE.get(size, 1.0)
        # Multiples of 16, as all published tables have.
        return round(edge * sqrt(ratio) / 16) * 16 or 16, round(edge / sqrt(ratio) / 16) * 16 or 16

    def video_pixels(self, aspect_ratio: str, resolution: str) -> tuple[int, int]:
        """Return the width and height of a video in pixels.

        Sides are swapped for upright aspects; an unknown resolution counts as 720p.
        """
        width, height = _VIDEO_PIXELS.get(resolution, _VIDEO_PIXELS["720p"])
        upright = (ratio_value(aspect_ratio) or 1.0) < 1
        return (height, width) if upright else (width, height)

    def person_values(self, task: PersonTask, platform: Platform | None = None) -> tuple[str, ...]:
        """Return the person-generation values for a task.

        They are those on one platform or (None) on any that serves the model.
        """
        platforms = (platform,) if platform else self.platforms
        found = (value for name in platforms for value in self.person_generation.get(name, {}).get(task, ()))
        return tuple(dict.fromkeys(found))

    def in_restricted_regions(self) -> Model:
        """Return the model as it is served where less may be said about people."""
        people: dict[str, Mapping[str, tuple[str, ...]]] = {}
        for platform, tasks in self.person_generation.items():
            only = tasks.get("restricted_regions")
            people[platform] = {
                task: values if only is None else tuple(value for value in values if value in only)
                for task, values in tasks.items()
            }
        return replace(self, person_generation=people)

    def takes_seed(self, platform: Platform | None = None) -> bool:
        """Return whether a seed may be sent.

        On one platform or (None) on any that serves the model.
        """
        return any(self.seed.get(name, False) for name in ((platform,) if platform else self.platforms))

    def _find_price(self, prices: Mapping[str, Decimal], key: str, noun: str) -> Decimal:
        if key not in prices:
            known = ", ".join(prices) or "nothing"
            raise CatalogueError(
                f"There is no price for a {noun} {key!r} of {self.id}: the catalogue prices {known}. "
                f"Add it under price_usd in a catalogue file of your own (CALLSHEET_CATALOGUE)."
            )
        return prices[key]
