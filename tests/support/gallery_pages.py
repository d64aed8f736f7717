"""What tests of pages share: sidecars, hostile texts, and the elements of a page."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser

from callsheet.archive.sidecar import (
    FileRecord,
    ImageParams,
    ScoreRecord,
    Sidecar,
    TakeRecord,
)
from callsheet.archive.spots import SpotRecord
from callsheet.report.view import BatchSummary

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)

HASH = "0123456789abcdef" * 4

SUMMARY = BatchSummary("Spring launch", "spring.2026-11.rehearsal", "rehearsal", NOW, "2026-11", Decimal("12.5"))

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}} {% raw %}",
    "\u202egnp.exe",
    "</title></style></textarea>--><svg onload=alert(1)>",
    "'&quot;` onmouseover=alert(1) x='",
)


def record(
    name: str, mime: str = "image/png", *, width: int = 1280, height: int = 720, length: float = 0
) -> FileRecord:
    return FileRecord(
        file=name,
        sha256="0" * 64,
        md5="0" * 32,
        size=1_234_567,
        mime_type=mime,
        uri=f"/archive/{name}",
        created=NOW,
        width=width,
        height=height,
        duration_s=length or None,
    )


def score(rank: float) -> ScoreRecord:
    return ScoreRecord(
        luma=0.5, clipped=0, entropy=7, sharpness=1, contrast=1, colourfulness=1, dhash="0" * 16, rank=rank
    )


def shot(name: str = "hero-1", **more: object) -> Sidecar:
    values: dict[str, object] = {
        "campaign": "Spring launch",
        "batch": "spring.2026-11.rehearsal",
        "mode": "rehearsal",
        "shot": name,
        "line": 2,
        "tags": ("spring", "hero"),
        "prompt": "A paper boat on a canal at dawn, soft light",
        "state": "done",
        "image": ImageParams(model="gemini-3-pro-image", aspect_ratio="16:9", image_size="2K", seed=7),
        "takes": (TakeRecord(take=1, job_key="k", file=record("take-1-a.png"), score=score(0.8), chosen=True),),
        "updated": NOW,
        **more,
    }
    return Sidecar.model_validate(values)


class Elements(HTMLParser):
    """The elements and attributes of a page, and the text outside style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._raw = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self._raw = tag in {"style", "script"}

    def handle_endtag(self, tag: str) -> None:
        self._raw = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._raw else f"{data} "

    def values(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.tags if name in attributes]


def spot(name: str = "launch", **given: object) -> SpotRecord:
    def file(what: str, mime: str, end: str) -> object:
        told = record(f"{name}-{what}{HASH[:12]}.{end}", mime, width=1080, height=1920, length=8)
        return told.model_copy(update={"sha256": HASH}).model_dump()

    values = {
        "name": name,
        "batch": SUMMARY.batch,
        "recipe": "r",
        "parts": [{"shot": one, "take": 1, "file": "clip.mp4", "sha256": HASH} for one in ("hero-1", "cup")],
        "how": "copy",
        "file": file("", "video/mp4", "mp4"),
        "poster": file("poster-", "image/jpeg", "jpg"),
        "thumbnail": file("thumb-", "image/jpeg", "jpg"),
        "sheet": file("sheet-", "image/jpeg", "jpg"),
        "created": NOW,
        **given,
    }
    return SpotRecord.model_validate(values)
