"""The things a batch is made of, as frozen values, in words of the glossary."""

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
class Guidance:
    """What a model of pictures is told beside the prompt.

    Of a Guidance() nothing is sent. `safety` has categories and thresholds in the words of the provider, `thinking`
    a level in ours.
    """

    system_instruction: str | None = None
    safety: tuple[tuple[str, str], ...] = ()
    thinking: str | None = None


@dataclass(frozen=True, slots=True)
class ParentPicture:
    """The bytes of a take that something is made of, and which take of its shot it is.

    `is_stored`: the archive has it, so that every process can read it.
    """

    take: int
    sha256: str
    size: int
    mime_type: str
    is_stored: bool = field(default=True, compare=False)


@dataclass(frozen=True, slots=True)
class ParentTake:
    """A take of another shot that a picture or video is made of.

    `take` None is the one that the shot's `select` chooses. `picture` is None until it is known. The shot is whole, so
    that whoever has the child can name the parent's job, in whatever process the parent is made.
    """

    shot: Shot
    take: int | None = None
    picture: ParentPicture | None = None

    def __str__(self) -> str:
        """Return it as a manifest names it: `kite:2`, `kite:chosen`."""
        only = 1 if self.shot.takes == 1 else None
        take = self.picture.take if self.picture else self.take or only
        return f"{self.shot.id}:{take or CHOSEN}"

    @property
    def record(self) -> str:
        """What a request keeps of it: `kite:2`, or `kite:chosen:2` when no one named it."""
        is_chosen = self.take is None and self.picture and self.shot.takes > 1
        return f"{self.shot.id}:{CHOSEN}:{self.picture.take}" if is_chosen and self.picture else str(self)


# What a manifest calls the take that a shot's `select` chooses.
CHOSEN = "chosen"


@dataclass(frozen=True, slots=True)
class VideoReference:
    """A picture that a video keeps to: a file, or a take of another shot.

    `is_style`: the video takes its style from it, and not its subject.
    """

    source: Reference | ParentTake
    is_style: bool = False

    @property
    def sha256(self) -> str:
        """The hash of its bytes, "" as long as it is not known which take it is."""
        if isinstance(self.source, Reference):
            return self.source.sha256
        return self.source.picture.sha256 if self.source.picture else ""

    def __str__(self) -> str:
        """Return it as a manifest names it."""
        name = self.source.uri if isinstance(self.source, Reference) else str(self.source)
        return f"style={name}" if self.is_style else name


@dataclass(frozen=True, slots=True)
class Shot:
    """One row of the manifest after templates and matrix.

    It has everything that determines its pictures and clips. `takes` 0 with a motion prompt is text-to-video;
    `motion_prompt` None stays a picture. `duration_s` is in seconds, `line` the 1-based line of the manifest. Values
    are complete: defaults are already applied, and wishes about people are in the words of the image model and of the
    video model. The pictures keep to `reference_images`, or the video where there are none. With `edit_of` they are
    made from that picture, the prompt being the instruction; `edits_file`: from the first of `reference_images`;
    `is_parent`: something else is made of a take of it. The
    clip is edited by each of `clip_edits`, then made longer in `extend` steps of `extend_s` seconds each. Of each frame
    there are `clips`, of which `select_clip` goes on (None: the best). A model's fallbacks are asked in order when
    nothing was accepted; keys know the first model alone.
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
    audio: bool | None = None
    enhance_prompt: bool | None = None
    cuts: tuple[str, ...] = ()
    finish: Finish = Finish()
    tags: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    guidance: Guidance = Guidance()
    edit_of: ParentTake | None = None
    edits_file: bool = False
    is_parent: bool = False
    video_references: tuple[VideoReference, ...] = ()
    clip_edits: tuple[str, ...] = ()
    extend: int = 0
    extend_s: int = 0
    clips: int = 1
    select_clip: int | Literal["first"] | None = None
    image_fallbacks: tuple[str, ...] = ()
    video_fallbacks: tuple[str, ...] = ()
    fallback_on_quota: bool = False

    @property
    def length_s(self) -> int:
        """How long its finished clip is, in seconds; 0 without one."""
        return (self.duration_s or 0) + self.extend * self.extend_s

    @property
    def kept_references(self) -> tuple[VideoReference, ...]:
        """What a video of text alone keeps to: first subjects, then styles.

        A video made of a take has them in that already.
        """
        own = () if self.takes else tuple(VideoReference(one) for one in self.reference_images)
        return tuple(sorted((*own, *self.video_references), key=lambda one: one.is_style))

    @property
    def input_pictures(self) -> int:
        """How many pictures are sent with a request for one of its own."""
        return len(self.reference_images) + (self.edit_of is not None)


@dataclass(frozen=True, slots=True)
class Batch:
    """A campaign in one edition and mode; its `name` is unique and safe in paths."""

    campaign: str
    edition: str | None
    mode: Mode
    manifest_uri: str = ""
    manifest_sha256: str = ""

    @classmethod
    def parse(cls, name: str) -> Batch | None:
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
KINDS: tuple[AssetKind, ...] = ("take", "clip", "cut", "poster", "extra")


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
class Failure:
    """A failure of a shot's step: the error's class, message and provider's reason."""

    step: str
    kind: str
    message: str
    reason: str = ""
    slot: str = ""


# The words of the label that is drawn on a picture, and told wherever a platform has no box.
LABEL = "Made with AI"
