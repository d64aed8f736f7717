"""A shot, its batch, and rows of jobs and assets, for tests that plan."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from callsheet.ledger import Job, JobState
from callsheet.models import load_catalogue
from callsheet.shots import Asset, Batch, Shot

CATALOGUE = load_catalogue()

BATCH = Batch("campaign", None, "rehearsal")

NOW = datetime(2026, 11, 21, tzinfo=UTC)

SHOT = Shot(
    id="a",
    line=2,
    prompt="A boat",
    image_model=CATALOGUE.default_image,
    aspect_ratio="16:9",
    image_size="1K",
    takes=2,
    motion_prompt="It sails",
    video_model=CATALOGUE.default_video,
    video_aspect_ratio="16:9",
    resolution="720p",
    duration_s=8,
    cuts=("9x16",),
)


def job(order: Any, state: JobState, sha256: str | None = None) -> Job:
    filled: dict[str, Any] = {field.name: None for field in dataclasses.fields(Job)}
    asked = {
        name: getattr(order, name) for name in ("key", "kind", "mode", "model", "batch", "shot", "slot", "request")
    }
    money = {"estimated_usd": Decimal(0), "spent_usd": Decimal(0), "attempts": 1, "created": NOW, "updated": NOW}
    return Job(**{**filled, **asked, **money, "state": state, "sha256": sha256, "reason": "", "reason_kind": ""})


def asset(kind: Any, name: str, order: Any, sha256: str, parent: str | None = None) -> Asset:
    key = order.key if order else None
    return Asset(kind, BATCH.name, "a", name, sha256, "m", 1, "x/y", "uri", NOW, job_key=key, parent=parent)
