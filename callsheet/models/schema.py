"""The form of a catalogue file, checked by pydantic.

Unknown fields are errors, every value has a type and a unit.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from callsheet.models.controls import Region, ThinkingLevel

Kind = Literal["image", "video", "look", "other"]
Status = Literal["live", "preview", "deprecated", "retired"]
Platform = Literal["gemini_api", "agent_platform"]
Surface = Literal["generate_content", "predict_long_running", "interactions", "predict"]
Confidence = Literal["high", "mid", "low"]
PersonTask = Literal["image", "text_to_video", "image_to_video", "restricted_regions"]
Tier = Literal["any", "0", "1", "2", "3"]

ModelId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Ratio = Annotated[str, StringConstraints(pattern=r"^[1-9]\d?:[1-9]\d?$")]
Pixels = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{1,4}x[1-9]\d{1,4}$")]
Usd = Annotated[Decimal, Field(ge=0, le=1000)]
Count = Annotated[int, Field(ge=0, le=10_000_000)]
Seconds = Annotated[int, Field(ge=1, le=3600)]


class _CatalogueModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceRecord(_CatalogueModel):
    """The place where facts were read, and the day."""

    url: str
    date: str


class DefaultsRecord(_CatalogueModel):
    """The values that a shot gets when it names none."""

    aspect_ratio: Ratio | None = None
    size: str | None = None
    resolution: str | None = None
    duration_s: Seconds | None = None


class InputsRecord(_CatalogueModel):
    """The inputs that may be sent.

    Number of pictures, bytes of each, MIME types, tokens of the prompt (None: not known).
    """

    reference_images: Count = 0
    style_references: bool = False
    first_frame: bool = False
    edit_video: bool = False
    last_frame: bool = False
    max_bytes: Annotated[int, Field(gt=0)] = 20 * 1024 * 1024
    mime_types: tuple[str, ...] = ("image/png", "image/jpeg", "image/webp")
    prompt_tokens: Annotated[int, Field(gt=0)] | None = None


class ControlsRecord(_CatalogueModel):
    """The controls beside the prompt; `safety` are categories of harm.

    Of `audio` and `enhance_prompt` it is told what may be said.
    """

    system_instruction: bool = False
    safety: dict[Platform, tuple[str, ...]] = {}
    thinking: tuple[ThinkingLevel, ...] = ()
    audio: dict[Platform, tuple[Literal["on", "off"], ...]] = {}
    enhance_prompt: dict[Platform, tuple[Literal["on", "off"], ...]] = {}


class ExtensionRecord(_CatalogueModel):
    """Steps that make a video longer: seconds of each, of a source, and of the result."""

    step_s: Seconds
    longest_s: Seconds
    most_steps: Annotated[int, Field(gt=0, le=20)]
    resolutions: tuple[str, ...]
    longest_source_s: dict[Platform, Seconds]


class AmountsRecord(_CatalogueModel):
    """List prices in USD.

    Of one picture by size, of one second of video by resolution, of a million tokens.
    """

    per_image: dict[str, Usd] = {}
    per_second: dict[str, Usd] = {}
    per_mtok: dict[Literal["input", "output", "image", "video"], Usd] = {}


class PriceChangeRecord(AmountsRecord):
    """Prices that hold from a Pacific day on, in the place of all earlier ones."""

    since: Annotated[date, Field(alias="from")]


class PriceRecord(AmountsRecord):
    """List price in USD, and what it changes to on which day."""

    changes: tuple[PriceChangeRecord, ...] = ()


class LimitsRecord(_CatalogueModel):
    """Requests per minute and per day; None is unknown or unlimited."""

    rpm: Annotated[int, Field(gt=0)] | None = None
    rpd: Annotated[int, Field(gt=0)] | None = None


class SpendRecord(_CatalogueModel):
    """USD that a project may spend on the Gemini API; None is unlimited.

    One amount is for any ten minutes, one for a month.
    """

    per_10min: Usd | None = None
    per_month: Annotated[Decimal, Field(ge=0, le=10_000_000)] | None = None


class LatencyRecord(_CatalogueModel):
    """Seconds from request to result."""

    min: Annotated[float, Field(ge=0)]
    typical: Annotated[float, Field(ge=0)]
    max: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.min <= self.typical <= self.max:
            raise ValueError("min, typical and max must not fall")
        return self


class When(_CatalogueModel):
    """The condition of a rule; all its parts must hold."""

    resolution: tuple[str, ...] = ()
    aspect_ratio: tuple[str, ...] = ()
    reference_images: bool | None = None
    last_frame: bool | None = None


class RuleRecord(_CatalogueModel):
    """A legal combination of a video.

    When the condition holds, only these durations (seconds) are taken.
    """

    when: When
    duration_s: tuple[Seconds, ...]


class ModelRecord(_CatalogueModel):
    """One model after inheritance."""

    name: str
    kind: Kind
    surface: Surface
    status: Status
    platforms: tuple[Platform, ...]
    locations: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,40}$")], ...] = ()
    released: date | None = None
    retired_on: date | None = None
    replacement: ModelId | None = None
    better: ModelId | None = None
    aspect_ratios: tuple[Ratio, ...] = ()
    sizes: tuple[str, ...] = ()
    pixels: str | dict[Ratio, dict[str, Pixels]] | None = None
    resolutions: tuple[str, ...] = ()
    durations_s: tuple[Seconds, ...] = ()
    rules: tuple[RuleRecord, ...] = ()
    defaults: DefaultsRecord = DefaultsRecord()
    inputs: InputsRecord = InputsRecord()
    controls: ControlsRecord = ControlsRecord()
    extension: ExtensionRecord | None = None
    person_generation: dict[Platform, dict[PersonTask, tuple[str, ...]]] = {}
    # Regions in which pictures of minors may not be sent.
    no_minors: tuple[Region, ...] = ()
    no_video_uploads: tuple[Region, ...] = ()
    seed: dict[Platform, bool] = {}
    price_usd: PriceRecord = PriceRecord()
    image_tokens: dict[str, Count] = {}
    video_tokens: dict[str, Count] = {}
    limits: dict[Tier, LimitsRecord] = {}
    latency_s: LatencyRecord = LatencyRecord(min=1, typical=10, max=60)
    source: tuple[str, ...] = ()
    checked_on: date
    confidence: Confidence = "low"

    @model_validator(mode="after")
    def _check_complete(self) -> Self:
        needed = _REQUIRED[self.kind]
        missing = [name for name in needed if not getattr(self, name)]
        if missing:
            raise ValueError(f"a model of kind {self.kind} needs {', '.join(missing)}")
        if self.status == "retired" and self.retired_on is None:
            raise ValueError("a retired model needs retired_on")
        self._check_defaults()
        return self

    def _check_defaults(self) -> None:
        allowed = {
            "aspect_ratio": self.aspect_ratios,
            "size": self.sizes,
            "resolution": self.resolutions,
            "duration_s": self.durations_s,
        }
        for name in _DEFAULTS[self.kind]:
            value = getattr(self.defaults, name)
            if value not in allowed[name]:
                raise ValueError(f"defaults.{name} is {value!r}, not one of {', '.join(map(str, allowed[name]))}")


_REQUIRED: dict[Kind, tuple[str, ...]] = {
    "image": ("aspect_ratios", "sizes"),
    "video": ("aspect_ratios", "resolutions", "durations_s"),
    "look": (),
    "other": (),
}
_DEFAULTS: dict[Kind, tuple[str, ...]] = {
    "image": ("aspect_ratio", "size"),
    "video": ("aspect_ratio", "resolution", "duration_s"),
    "look": (),
    "other": (),
}


class CatalogueRecord(_CatalogueModel):
    """A whole catalogue after overlay and inheritance."""

    checked_on: date
    default_image: ModelId
    default_video: ModelId
    default_video_with_key: ModelId | None = None
    default_look: ModelId
    sources: dict[str, SourceRecord] = {}
    pixel_tables: dict[str, dict[Ratio, dict[str, Pixels]]] = {}
    spend_usd: dict[Tier, SpendRecord] = {}
    models: dict[ModelId, ModelRecord]

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        for name, kind in (("default_image", "image"), ("default_video", "video"), ("default_look", "look")):
            model = self.models.get(getattr(self, name))
            if model is None or model.kind != kind:
                raise ValueError(f"{name} names no {kind} model of the catalogue")
        keyed = self.default_video_with_key
        if keyed is not None and (keyed not in self.models or self.models[keyed].kind != "video"):
            raise ValueError("default_video_with_key names no video model of the catalogue")
        for model_id, model in self.models.items():
            if model.replacement and model.replacement not in self.models:
                raise ValueError(f"models.{model_id}.replacement: {model.replacement} is not in the catalogue")
            if model.better and model.better not in self.models:
                raise ValueError(f"models.{model_id}.better: {model.better} is not in the catalogue")
            if isinstance(model.pixels, str) and model.pixels not in self.pixel_tables:
                raise ValueError(f"models.{model_id}.pixels: there is no pixel table {model.pixels}")
            if unknown := set(model.source) - set(self.sources):
                raise ValueError(f"models.{model_id}.source: not in sources: {', '.join(sorted(unknown))}")
        return self


def parse_pixels(text: str) -> tuple[int, int]:
    """Return the width and height of `"1376x768"`."""
    width, height = text.split("x")
    return int(width), int(height)
