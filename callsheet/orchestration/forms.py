"""Forms: parameters of deployments, with titles and choices for the UI.

The UI (3.8.8) shows the title of a parameter, and title and description of a field in a nested model. Prefect puts the
parameter's name where the title belongs; `json_schema_extra` comes after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from callsheet.approval.decision_input import MAX_NOTE, TakeSelection
from callsheet.archive.spots import SPOT_NAME
from callsheet.batch.recut import CutsRequest, Editions
from callsheet.batch.spot import MAX_CROSSFADE_S, SpotRequest
from callsheet.manifest.columns import MAX_TAKES
from callsheet.manifest.left_out import OnBadRow
from callsheet.platforms import load_platforms
from callsheet.settings import load_settings
from callsheet.shots import Mode


def _with_platforms(schema: dict[str, Any]) -> None:
    """Offer the platforms to choose from.

    The settings' own are among them, as they are when a flow is deployed.
    """
    schema["enum"] = list(load_platforms(load_settings().platforms).names)


def form_field(title: str) -> Any:
    """Return the field of a parameter that the form shows with this title."""
    return Field(json_schema_extra={"title": title})


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


# What a form sends where nothing was written.
Text = Annotated[str | None, BeforeValidator(_empty_is_none)]
Day = Annotated[date | None, BeforeValidator(_empty_is_none)]
Manifest = Annotated[
    str,
    form_field("Manifest: CSV, TSV, XLSX or YAML; a path of the worker, gs://..., or a Google Sheet"),
]
Live = Annotated[bool, form_field("Live: spend money (off: a rehearsal)")]
Edition = Annotated[Text, form_field("Edition: made afresh under this name; {date}, {week}, {month} are filled in")]
Campaign = Annotated[Text, form_field("Campaign (empty: as the manifest says)")]
Variables = Annotated[dict[str, str] | None, form_field("Variables of the manifest")]
Budget = Annotated[float | None, form_field("Budget of the campaign in all, USD")]
Remake = Annotated[bool, form_field("Make failed and lost work again, and pay for it")]
Wait = Annotated[bool, form_field("Sleep through full quota days (off: end parked, and go on by itself)")]
Only = Annotated[list[str] | None, form_field("Only these shots, by id")]
Free = Annotated[bool, form_field("Only finish what is paid for")]
Rows = Annotated[
    list[dict[str, Any]] | None,
    form_field("Rows of a sheet in place of a manifest: [{column: value}]"),
]
BadRow = Annotated[
    OnBadRow, form_field("A row that is wrong: stop before anything is made, or skip it and make the rest")
]
WebhookUrl = Annotated[Text, form_field("Webhook: https address that is told how the run ended")]
PlanFile = Annotated[Text, form_field("Plan file to follow exactly")]
Platforms = Annotated[
    tuple[Annotated[str, Field(json_schema_extra=_with_platforms)], ...], form_field("Platforms and aspects to cut for")
]
SpotPlatform = Annotated[
    Annotated[str, Field(json_schema_extra=_with_platforms)] | None,
    BeforeValidator(_empty_is_none),
    form_field("Join the cuts for this platform or aspect (empty: the clips as they are)"),
]
Crossfade = Annotated[
    float, Field(ge=0, le=MAX_CROSSFADE_S), form_field("Seconds that neighbours fade into each other")
]
SpotName = Annotated[str, Field(pattern=SPOT_NAME), form_field("Name of the spot: letters, digits, dots and dashes")]
Focus = Annotated[Text, form_field("Where to look: left, 0.3,0.5, auto ... (empty: as the manifest says)")]
LiveBatches = Annotated[bool, form_field("Live batches (off: rehearsals)")]
OneBatch = Annotated[Text, form_field("Only this batch (empty: all of them)")]
DecidedBatch = Annotated[str, form_field("Batch, as its flow run is named")]
DecidedBy = Annotated[str, form_field("By whom")]
GoOn = Annotated[bool, form_field("Then go on with the batch")]
ReportDay = Annotated[Day, form_field("Day to report on (empty: the day before)")]


class CutsOf(BaseModel):
    """The clips to cut: those of one batch, of a campaign, or whatever words find."""

    model_config = ConfigDict(title="Clips of", extra="forbid", frozen=True)

    batch: Annotated[
        Text,
        Field(title="Batch", description="One batch, as its flow run is named. Leave it empty to choose a campaign."),
    ] = None
    campaign: Annotated[
        Text, Field(title="Campaign", description="Its newest batch, or all of them: see editions.")
    ] = None
    editions: Annotated[Editions, Field(title="Editions", description="Which batches of the campaign.")] = "newest"
    mode: Annotated[Mode, Field(title="Mode", description="Live batches of the campaign, or its rehearsals.")] = (
        "rehearsal"
    )
    shots: Annotated[
        list[str],
        Field(title="Shots", description="Only these shots, by id. Leave it empty for all.", default_factory=list),
    ]
    query: Annotated[
        Text, Field(title="Words", description="Only clips whose prompt, shot, tags or campaign have all of them.")
    ] = None

    @property
    def label(self) -> str:
        """Batch, campaign or words, for the name of the run."""
        return self.batch or self.campaign or self.query or "nothing"

    def request(self, platforms: Sequence[str], focus: str | None) -> CutsRequest:
        """Return the form as a request."""
        words = tuple((self.query or "").split())
        return CutsRequest(
            tuple(platforms), self.batch, self.campaign, self.editions, self.mode, tuple(self.shots), words, focus=focus
        )


Clips = Annotated[CutsOf, form_field("Clips to cut")]


class SpotOf(BaseModel):
    """What a spot is joined of: the shots of one batch, or of a campaign's newest."""

    model_config = ConfigDict(title="Parts of", extra="forbid", frozen=True)

    batch: Annotated[
        Text,
        Field(title="Batch", description="One batch, as its flow run is named. Leave it empty to choose a campaign."),
    ] = None
    campaign: Annotated[Text, Field(title="Campaign", description="Its newest batch.")] = None
    mode: Annotated[Mode, Field(title="Mode", description="A live batch of the campaign, or a rehearsal.")] = (
        "rehearsal"
    )
    shots: Annotated[
        list[str],
        Field(
            title="Shots",
            description="These shots, by id, in this order. Leave it empty for all, in the manifest's order.",
            default_factory=list,
        ),
    ]

    @property
    def label(self) -> str:
        """Batch or campaign, for the name of the run."""
        return self.batch or self.campaign or "nothing"

    def request(self, platform: str | None, crossfade_s: float, name: str) -> SpotRequest:
        """Return the form as a request."""
        return SpotRequest(self.batch, name, platform, tuple(self.shots), crossfade_s, self.campaign, self.mode)


Parts = Annotated[SpotOf, form_field("What is joined")]


class FrameChoice(BaseModel):
    """What is decided about one shot."""

    model_config = ConfigDict(title="Shot", extra="forbid", frozen=True)

    shot: Annotated[str, Field(title="Shot", description="Its id, as contact sheet and gallery have it.")]
    takes: Annotated[
        list[Annotated[int, Field(ge=1, le=MAX_TAKES)]],
        Field(
            title="Takes that are chosen: animated, or used as pictures",
            description="Their numbers; each makes a clip.",
            default_factory=list,
        ),
    ]
    reject: Annotated[bool, Field(title="Reject", description="Animate none of them: leave the takes empty.")] = False
    note: Annotated[str, Field(title="Note", description="Why, in a line.", max_length=MAX_NOTE)] = ""

    @model_validator(mode="after")
    def _is_one_decision(self) -> Self:
        if self.reject == bool(self.takes):
            raise ValueError(f"{self.shot}: give takes, or reject, not both and not neither")
        return self

    def wish(self) -> TakeSelection:
        """Return the choice as a selection."""
        return TakeSelection(self.shot, tuple(dict.fromkeys(self.takes)), self.note)


FrameChoices = Annotated[list[FrameChoice], Field(min_length=1), form_field("Decisions, one for each shot")]
