"""The things a batch is made of, as frozen values.

The words are those of ARCHITECTURE.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

Mode = Literal["rehearsal", "live"]
Select = Literal["best", "first", "all", "approve"] | tuple[int, ...]


class ShotOutcome(StrEnum):
    """The state of a shot in its batch; `pending` means work on it has not ended."""

    PENDING = "pending"
    DONE = "done"
    BLOCKED = "blocked"
    FAILED = "failed"
    PARKED = "parked"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Reference:
    """A picture from the user: its path or URI, its hash and its MIME type.

    `uri` is a resolved local path or an fsspec URI.
    """

    uri: str
    sha256: str
    mime_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The finish of a shot's cuts; a Finish() changes nothing but the framing.

    `focus` is "auto" (the subject is looked for), "ask" (Gemini is asked for it, which costs a little), "centre", or a
    place in the picture from the manifest. `captions` are text, or the path's bytes in `captions_file` (SRT, VTT).
    `label` is the disclosure drawn on the picture, `end_card_s` the seconds that the card is shown after the clip.
    `font` is the user's own, for the words.
    """

    focus: str = "auto"
    captions: str | None = None
    captions_file: Reference | None = None
    logo: Reference | None = None
    end_card: Reference | None = None
    end_card_s: float = 2.0
    music: Reference | None = None
    label: str | None = None
    font: Reference | None = None


@dataclass(frozen=True, slots=True)
class Shot:
    """One row of the manifest after templates and matrix.

    It has everything that determines its pictures and clips. `takes` 0 with a motion prompt is text-to-video;
    `motion_prompt` None stays a picture. `duration_s` is in seconds, `line` the 1-based line of the manifest. Values
    are complete: defaults are already applied, and wishes about people are in the words of the image model and of the
    video model. The pictures keep to `reference_images`, or the video where there are none.
    """

    id: str
    line: int
    prompt: str
    image_model: str
    aspect_ratio: str
    image_size: str
    takes: int
    negative_prompt: str | None = None
    seed: int | None = None
    reference_images: tuple[Reference, ...] = ()
    select: Select = "best"
    person_generation: str | None = None
    motion_prompt: str | None = None
    video_model: str | None = None
    video_person_generation: str | None = None
    video_aspect_ratio: str | None = None
    resolution: str | None = None
    duration_s: int | None = None
    last_frame: Reference | None = None
    cuts: tuple[str, ...] = ()
    finish: Finish = Finish()
    tags: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """A campaign in one edition and mode.

    `name` is unique among all batches and safe in paths.
    """

    campaign: str
    edition: str | None
    mode: Mode
    manifest_uri: str = ""
    manifest_sha256: str = ""

    @classmethod
    def named(cls, name: str) -> Batch | None:
        """Return the batch of this name, without its manifest.

        None when no batch can have it.
        """
        campaign, _, rest = name.partition(".")
        edition, _, mode = rest.rpartition(".")
        known: Mode | None = "live" if mode == "live" else "rehearsal" if mode == "rehearsal" else None
        if not campaign or known is None or "." in edition or "/" in name:
            return None
        return cls(campaign, edition or None, known)

    @property
    def name(self) -> str:
        """`campaign.edition.mode`, without the parts that are empty.

        Campaign and edition hold no dots, so no two batches share a name.
        """
        return ".".join(part for part in (self.campaign, self.edition, self.mode) if part)

    @property
    def prefix(self) -> str:
        """The batch's folder inside the archive."""
        return f"{self.campaign}/{self.name}"


# "extra" is a further picture of the reply that gave a take.
AssetKind = Literal["take", "clip", "cut", "poster", "thumbnail", "extra"]


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of a shot in the archive.

    `name` is relative to the shot's folder and carries the hash. `parent` is the sha256 of the asset it was made from;
    `job_key` the paid job that made it (None: derived for free); `recipe` is the sha256 of what determines a cut,
    `details` say how it was made (as JSON, the words of its sidecar). Sizes are in bytes, width and height in pixels,
    duration in seconds.
    """

    kind: AssetKind
    batch: str
    shot: str
    name: str
    sha256: str
    md5: str
    size: int
    mime_type: str
    uri: str
    created: datetime
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    job_key: str | None = None
    parent: str | None = None
    usd: Decimal = Decimal(0)
    model: str | None = None
    recipe: str | None = None
    details: dict[str, Any] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Take:
    """One candidate picture of a shot, stored."""

    number: int
    asset: Asset


@dataclass(frozen=True, slots=True)
class Frame:
    """The take chosen to be animated, and why in one sentence."""

    take: Take
    why: str


@dataclass(frozen=True, slots=True)
class Clip:
    """The stored video made of a frame (or of text alone).

    `operation` is the name of the operation that made it.
    """

    asset: Asset
    operation: str
    frame: Frame | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """A clip conformed to one aspect.

    `how` is "copy" (same video packets) or "crop"; `crop` is x, y, w, h in px.
    """

    spec: str
    asset: Asset
    how: Literal["copy", "crop"]
    crop: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure of a shot's step: the error's class, message and provider's reason."""

    step: str
    kind: str
    message: str
    reason: str = ""
    slot: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one paid request, as the provider reported them."""

    tokens: dict[str, int] = field(default_factory=dict)


# The words of the label that is drawn on a picture, and told wherever a platform has no box.
LABEL = "Made with AI"
