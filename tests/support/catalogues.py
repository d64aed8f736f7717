"""Small catalogues for tests, as runs write them: rows told in a few words, in parts of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from callsheet.archive import layout
from callsheet.archive.catalogue import part_bytes
from callsheet.archive.parts import SCHEMA

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TODAY = date(2026, 11, 21)


def row(shot: str = "hero", kind: str = "take", **told: object) -> dict[str, object]:
    """A row with every column; what is not told is as plain as can be."""
    campaign, mode = str(told.get("campaign", "spring")), str(told.get("mode", "live"))
    sha256 = hashlib.sha256(f"{campaign}/{shot}/{kind}/{told.get('take', 1)}".encode()).hexdigest()
    ending, mime = ("mp4", "video/mp4") if kind in {"clip", "cut"} else ("png", "image/png")
    batch, file = str(told.get("batch", f"{campaign}.{mode}")), f"{kind}-{sha256[:12]}.{ending}"
    return {
        **dict.fromkeys(SCHEMA),
        "campaign": campaign,
        "batch": batch,
        "mode": mode,
        "shot": shot,
        "line": 2,
        "kind": kind,
        "take": 1,
        "chosen": False,
        "prompt": "A boat",
        "model": "veo-3.1" if ending == "mp4" else "gemini-3-pro-image",
        "parameters": "{}",
        "usd": 0.134,
        "file": file,
        "uri": f"/elsewhere/{layout.shot_folder(f'{campaign}/{batch}', shot)}/{file}",
        "sha256": sha256,
        "md5": sha256[:32],
        "size": 1_500_000,
        "mime_type": mime,
        "width": 1280,
        "height": 720,
        "created": NOON,
        "tags": [],
        **told,
    }


def write(
    root: Path, rows: Sequence[Mapping[str, object]], on: date = TODAY, number: int = 1, batch: str = "spring.live"
) -> Path:
    """A part with these rows, whatever their batches; its path."""
    path = root / layout.catalogue_part(batch, on, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(part_bytes([dict(one) for one in rows]))
    return path
