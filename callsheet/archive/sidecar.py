"""The sidecar `shot.json`: full lineage of one shot, enough on its own to rebuild ledger and catalogue."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from callsheet.archive.disclosure import Disclosure

# 3: `decisions` (2026-11-21). 2: `signed` and `platform_toggle` of a cut (2026-11-21).
# Older sidecars are read with their defaults.
SCHEMA_VERSION = 3


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FailureRecord(_Part):
    """Why a step gave nothing; `kind` is the error's class, `reason` the provider's own code."""

    step: str
    kind: str
    message: str
    reason: str = ""
    slot: str = ""


class FileRecord(_Part):
    """One archived file; `file` is relative to the shot's folder. Bytes, pixels, seconds."""

    file: str
    sha256: str
    md5: str
    size: int
    mime_type: str
    uri: str
    created: datetime
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    fps: float | None = None
    parent: str | None = None
    thumbnail: str | None = None


class ScoreRecord(_Part):
    """Technical measures of a take (see callsheet.media.frames) and its mean rank within the shot, 0..1 (1 best)."""

    luma: float
    clipped: float
    entropy: float
    sharpness: float
    contrast: float
    colourfulness: float
    dhash: str
    rank: float | None = None
    rejected: str | None = None


class JobRecord(_Part):
    """The paid job behind a take or clip as the ledger had it: `callsheet ledger rebuild` enters it again.

    `batch`, `shot` and `slot` wanted it first, and that batch pays. Times are the ledger's, so rehearsal time in a
    rehearsal. Money in USD.
    """

    state: str
    batch: str
    shot: str
    slot: str
    model: str
    request: dict[str, JsonValue] = Field(default_factory=dict)
    operation: str | None = None
    estimated_usd: float = 0.0
    reason_kind: str = ""
    reason: str = ""
    reason_code: str = ""
    created: datetime
    submitted_at: datetime | None = None
    finished_at: datetime | None = None


class TakeRecord(_Part):
    """A candidate picture: its file, or why there is none."""

    take: int
    job_key: str
    file: FileRecord | None = None
    failure: FailureRecord | None = None
    job: JobRecord | None = None
    usd: float = 0.0
    attempts: int = 0
    model_version: str = ""
    response_id: str = ""
    tokens: dict[str, int] = Field(default_factory=dict)
    score: ScoreRecord | None = None
    chosen: bool = False
    why: str = ""


class ClipRecord(_Part):
    """A video made of a take (None: of text alone): its file, or why there is none."""

    take: int | None
    job_key: str
    model: str
    operation: str | None = None
    resolution: str | None = None
    aspect_ratio: str | None = None
    requested_duration_s: int | None = None
    file: FileRecord | None = None
    poster: FileRecord | None = None
    failure: FailureRecord | None = None
    job: JobRecord | None = None
    usd: float = 0.0
    attempts: int = 0


class CutRecord(_Part):
    """A clip conformed to one aspect: its file, or why there is none. `signed`: it carries Content Credentials."""

    spec: str
    take: int | None
    how: Literal["copy", "crop"] | None = None
    crop: tuple[int, int, int, int] | None = None
    file: FileRecord | None = None
    poster: FileRecord | None = None
    failure: FailureRecord | None = None
    signed: bool = False
    disclosure: Disclosure = Disclosure()


class DecisionRecord(_Part):
    """What a person decided about the takes: those approved, by number and sha256; none of them is a rejection.

    `shown` are the takes that there were to choose from, `n` counts the shot's decisions from 1.
    """

    n: int
    takes: dict[int, str] = Field(default_factory=dict)
    shown: dict[int, str]
    by: str
    note: str = ""
    at: datetime


class ImageParams(_Part):
    """The parameters that every take of the shot was asked with."""

    model: str
    aspect_ratio: str
    image_size: str
    seed: int | None = None
    person_generation: str | None = None
    references: tuple[dict[str, str], ...] = ()


class Sidecar(_Part):
    """All that is known of one shot in one batch."""

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
    image: ImageParams | None = None
    takes: tuple[TakeRecord, ...] = ()
    clips: tuple[ClipRecord, ...] = ()
    cuts: tuple[CutRecord, ...] = ()
    usd: float = 0.0
    updated: datetime
