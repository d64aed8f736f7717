"""`shot.json`: the lineage of one shot, enough to rebuild ledger and catalogue."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from callsheet.archive.sidecar_parts import Disclosure, FileName, FinishRecord, Moment, SidecarPart
from callsheet.platforms.spec import PlatformSpec

# 5: `pins`, `earlier_takes`, `earlier_clips`, `earlier_cuts` (2026-11-30).
# 4: `finish`, and how each cut was made (2026-11-21). 3: `decisions` (2026-11-21). Older ones are read with defaults.
SCHEMA_VERSION = 5


class FailureRecord(SidecarPart):
    """A failure: `kind` is the error's class, `reason` the provider's own code."""

    step: str
    kind: str
    message: str
    reason: str = ""
    slot: str = ""


class FileRecord(SidecarPart):
    """One archived file, relative to the shot's folder; bytes, pixels, seconds."""

    file: FileName
    sha256: str
    md5: str
    size: int
    mime_type: str
    uri: str
    created: Moment
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    fps: float | None = None
    parent: str | None = None
    thumbnail: FileName | None = None


class ScoreRecord(SidecarPart):
    """Measures of a take (media/frames.py); `rank` is its mean rank, 0..1 (1 best)."""

    luma: float
    clipped: float
    entropy: float
    sharpness: float
    contrast: float
    colourfulness: float
    dhash: str
    rank: float | None = None
    rejected: str | None = None


class JobRecord(SidecarPart):
    """The paid job behind a take or clip as the ledger had it.

    `ledger rebuild` enters it again. `batch`, `shot` and `slot` wanted it first, and that batch pays. Times are the
    ledger's. USD. `ledger` was about to send it ("submitting"): for any other ledger the request is in doubt.
    `usd_in_doubt` is what of the part's `usd` only the bill can settle, None where that was not told (before 2026-12).
    """

    state: str
    batch: str
    shot: str
    slot: str
    model: str
    request: dict[str, JsonValue] = Field(default_factory=dict)
    operation: str | None = None
    estimated_usd: float = 0.0
    usd_in_doubt: float | None = None
    reason_kind: str = ""
    reason: str = ""
    reason_code: str = ""
    created: Moment
    submitted_at: Moment | None = None
    finished_at: Moment | None = None
    ledger: str = ""


class TakeRecord(SidecarPart):
    """A candidate picture or why there is none; `others`, `text`: of the same reply."""

    take: int
    job_key: str
    file: FileRecord | None = None
    failure: FailureRecord | None = None
    job: JobRecord | None = None
    usd: float = 0.0
    attempts: int = 0
    model_version: str = ""
    response_id: str = ""
    request_id: str = ""
    safety_ratings: tuple[dict[str, str], ...] = ()
    tokens: dict[str, int] = Field(default_factory=dict)
    score: ScoreRecord | None = None
    chosen: bool = False
    why: str = ""
    others: tuple[FileRecord, ...] = ()
    text: str = ""


class ClipRecord(SidecarPart):
    """A video made of a take (None: of text alone): its file, or why there is none.

    `step`: after how many edits and extensions; then it is made of the clip of the step before (`is_edit`: edited).
    `variant` is its number among the clips of its frame; of several one is `chosen`, and `why`, by what it looks like
    (`score`).
    `reply` is what the provider said of its operation in the end, without bytes, and `request_id` its id of that poll;
    `submission_request_id` is that of the submission. `others` are further videos of it.
    """

    take: int | None
    job_key: str
    model: str
    operation: str | None = None
    resolution: str | None = None
    aspect_ratio: str | None = None
    requested_duration_s: int | None = None
    references: tuple[dict[str, str], ...] = ()
    file: FileRecord | None = None
    poster: FileRecord | None = None
    failure: FailureRecord | None = None
    job: JobRecord | None = None
    usd: float = 0.0
    attempts: int = 0
    reply: dict[str, JsonValue] = Field(default_factory=dict)
    request_id: str = ""
    submission_request_id: str = ""
    others: tuple[FileRecord, ...] = ()
    step: int = 0
    is_edit: bool = False
    variant: int = 1
    score: ScoreRecord | None = None
    chosen: bool = False
    why: str = ""


# The framing of a cut that is encoded in the clip's own aspect.
WHOLE = "the whole picture"


class SubjectRecord(SidecarPart):
    """The place of the subject, `how` it was found, and why so.

    `box` is left, top, right, bottom around all its moments, in shares 0..1 of the upright picture.
    """

    how: Literal["given", "asked", "saliency", "centre"]
    reason: str
    box: tuple[float, float, float, float] | None = None


class CutMaking(SidecarPart):
    """The facts of how a cut was made.

    `crop` is x, y, w, h in pixels of the upright clip, at the start where it moves along `path` (seconds, x, y).
    Loudness is by ITU-R BS.1770, of the clip before and of the cut; `sound` says why it is not the one aimed at.
    `platform` has the numbers it was made to, `focus` is where it was to look.
    """

    how: Literal["copy", "crop", "pad"] | None = None
    why: str = ""
    crop: tuple[int, int, int, int] | None = None
    path: tuple[tuple[float, int, int], ...] = ()
    framing: str = ""
    subject: SubjectRecord | None = None
    gain_db: float | None = None
    lufs_before: float | None = None
    lufs: float | None = None
    peak_dbtp: float | None = None
    sound: str = ""
    platform: PlatformSpec | None = None
    focus: str = "auto"


class CutRecord(CutMaking):
    """A clip made ready for one platform: its file, or why there is none.

    `signed`: it carries Content Credentials. The finish is the shot's, with the `focus` given here. `recipe` is the
    hash of all that determines it, None for cuts from before recipes.
    """

    spec: str
    take: int | None
    recipe: str | None = None
    file: FileRecord | None = None
    poster: FileRecord | None = None
    failure: FailureRecord | None = None
    signed: bool = False
    disclosure: Disclosure = Disclosure()


class DecisionRecord(SidecarPart):
    """A person's decision: the takes approved, by number and sha256 (none: rejected).

    `shown` are the takes that there were to choose from, `n` counts the shot's decisions from 1.
    """

    n: int
    takes: dict[int, str] = Field(default_factory=dict)
    shown: dict[int, str]
    by: str
    note: str = ""
    at: Moment


class PinRecord(SidecarPart):
    """A choice of frame before its clip was paid for; `wish` is its input's hash."""

    n: int
    wish: str
    take: int
    sha256: str
    why: str = ""
    at: Moment


class ImageParams(SidecarPart):
    """The parameters of all takes' requests; `edit_of`: made of such as `kite:2`."""

    model: str
    aspect_ratio: str
    image_size: str
    seed: int | None = None
    person_generation: str | None = None
    references: tuple[dict[str, str], ...] = ()
    edit_of: str | None = None
    system_instruction: str | None = None
    safety: dict[str, str] = Field(default_factory=dict)
    thinking: str | None = None


class Sidecar(SidecarPart):
    """All that is known of one shot in one batch.

    `earlier_takes`, `earlier_clips`: paid for, or perhaps, and no longer used by the shot (its prompt was edited, say,
    or another frame animated). They are never taken out. `earlier_cuts`: no longer used, their files kept.
    `beginnings` are the clips that the clips were made from, step by step, and those of several of a frame that were
    not chosen.
    """

    schema_version: int = SCHEMA_VERSION
    campaign: str
    batch: str
    edition: str | None = None
    mode: Literal["rehearsal", "live"]
    shot: str
    line: int
    tags: tuple[str, ...] = ()
    variables: dict[str, str] = Field(default_factory=dict)
    prompt: str
    negative_prompt: str | None = None
    motion_prompt: str | None = None
    select: str = "best"
    state: Literal["pending", "done", "blocked", "failed", "parked", "waiting"]
    failures: tuple[FailureRecord, ...] = ()
    decisions: tuple[DecisionRecord, ...] = ()
    pins: tuple[PinRecord, ...] = ()
    image: ImageParams | None = None
    takes: tuple[TakeRecord, ...] = ()
    clips: tuple[ClipRecord, ...] = ()
    beginnings: tuple[ClipRecord, ...] = ()
    cuts: tuple[CutRecord, ...] = ()
    earlier_takes: tuple[TakeRecord, ...] = ()
    earlier_clips: tuple[ClipRecord, ...] = ()
    earlier_cuts: tuple[CutRecord, ...] = ()
    finish: FinishRecord | None = None
    usd: float = 0.0
    updated: Moment
