"""Sidecars of finished shots, as archives have them."""

from __future__ import annotations

from datetime import UTC, datetime

from callsheet.archive.sidecar import ClipRecord, CutRecord, FailureRecord, FileRecord, ImageParams, Sidecar, TakeRecord

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def record(name: str, mime: str, parent: str | None = None, length: float | None = None) -> FileRecord:
    return FileRecord(
        file=name,
        sha256=name[0] * 64,
        md5="0" * 32,
        size=10,
        mime_type=mime,
        uri=f"gs://b/{name}",
        created=NOW,
        width=1280,
        height=720,
        duration_s=length,
        parent=parent,
    )


def shot(name: str = "hero", line: int = 2, **more: object) -> Sidecar:
    clip = ClipRecord(
        take=1,
        job_key="clip-key",
        model="veo-3.1",
        operation="operations/1",
        resolution="720p",
        file=record("c.mp4", "video/mp4", "t" * 64, 8.0),
        poster=record("p.jpg", "image/jpeg", "c" * 64),
        usd=3.2,
    )
    values: dict[str, object] = {
        "campaign": "spring",
        "batch": "spring.live",
        "mode": "live",
        "shot": name,
        "line": line,
        "tags": ("a", "b"),
        "prompt": "A boat",
        "motion_prompt": "Drift",
        "state": "done",
        "image": ImageParams(model="gemini-3-pro-image", aspect_ratio="16:9", image_size="2K"),
        "takes": (
            TakeRecord(take=1, job_key="take-key", file=record("t.png", "image/png"), usd=0.134, chosen=True),
            TakeRecord(take=2, job_key="k2", failure=FailureRecord(step="image", kind="NoImage", message="text")),
        ),
        "clips": (clip,),
        "cuts": (CutRecord(spec="9x16", take=1, how="crop", file=record("v.mp4", "video/mp4", "c" * 64, 8.0)),),
        "updated": NOW,
        **more,
    }
    return Sidecar.model_validate(values)
