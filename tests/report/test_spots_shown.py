"""Spots in the gallery of their batch, and read from records that nobody vouches for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from callsheet.archive.open import open_store
from callsheet.archive.sidecar_parts import disclosure_for
from callsheet.archive.spots import SpotRecord, read_spots
from callsheet.platforms import load_platforms
from callsheet.report.page import gallery_html
from callsheet.report.view import gallery_view
from tests.support.cared_for import PREFIX
from tests.support.gallery_pages import HASH, HOSTILE, SUMMARY, Elements, shot, spot


def page(*spots: SpotRecord) -> Elements:
    return Elements(gallery_html(gallery_view([shot()], SUMMARY, spots)))


def test_a_spot_is_shown_with_film_poster_platform_shots_and_what_to_tell_when_posting() -> None:
    reels = load_platforms(None).get("reels")
    shown = page(spot(cut="reels", title=reels.title, disclosure=disclosure_for(reels), crossfade_s=0.5))
    film = next(given for tag, given in shown.tags if tag == "video")
    assert film["src"] == f"spots/launch-{HASH[:12]}.mp4"
    assert film["poster"] == f"spots/launch-poster-{HASH[:12]}.jpg"
    assert film["class"] == "a9x16"
    assert f"spots/launch-sheet-{HASH[:12]}.jpg" in shown.values("href")
    text = " ".join(shown.text.split())
    assert f"launch {reels.title} 8 s · 2 parts · crossfades of 0.5 s · 1.2 MB" in text
    assert "Joins hero-1, cup · preview sheet" in text
    assert "How to post Made with AI: if it looks real, “Add AI label (AI info)” on Meta." in text
    assert "Clips as they are" in page(spot()).text
    assert "Spots" not in page().text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_record_is_inert(text: str) -> None:
    def hostile(words: str) -> SpotRecord:
        parts = [{"shot": words, "take": 1, "file": words, "sha256": HASH}] * 2
        told = {"ai_generated": True, "label_text": words}
        return spot(cut=words, title=words, parts=parts, model=words, why=words, disclosure=told)

    plain, shown = page(hostile("plain")), page(hostile(text))
    assert [(tag, set(given)) for tag, given in shown.tags] == [(tag, set(given)) for tag, given in plain.tags]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("file", {"file": "../../other/shots/kite/clip-0123456789ab.mp4"}),
        ("poster", {"file": "/etc/passwd"}),
        ("sheet", {"file": "https://example.com/a-0123456789ab.jpg"}),
        ("file", {"sha256": "f" * 64}),
        ("name", "../launch"),
        ("name", "other"),
        ("parts", [{"shot": "a", "take": 1, "file": "a", "sha256": f"{HASH}/x"}] * 2),
        ("created", "2026-11-21T09:00:00"),
        ("parts", [{"shot": "a", "take": 1, "file": "a", "sha256": HASH}] * 101),
        ("disclosure", {"label_text": 7}),
        ("file", None),
    ],
)
async def test_a_record_that_is_not_what_it_should_be_is_left_aside(tmp_path: Path, key: str, value: object) -> None:
    good = json.loads(spot().model_dump_json())
    changed = {**good[key], **value} if isinstance(value, dict) else value
    folder = _written(tmp_path, json.dumps({**good, key: changed}))
    assert await read_spots(open_store(str(tmp_path)), PREFIX) == []
    (folder / f"launch-{HASH[:12]}.json").write_text(json.dumps(good))
    assert await read_spots(open_store(str(tmp_path)), PREFIX) == [spot()]


async def test_what_is_no_json_is_too_long_or_has_lost_a_file_is_not_shown(tmp_path: Path) -> None:
    for text in ("", "{", "[" * 5000, " " * (1 << 20) + spot().model_dump_json()):
        _written(tmp_path, text)
        assert await read_spots(open_store(str(tmp_path)), PREFIX) == []
    folder = _written(tmp_path, spot().model_dump_json())
    (folder / f"launch-poster-{HASH[:12]}.jpg").unlink()
    assert await read_spots(open_store(str(tmp_path)), PREFIX) == []


def _written(archive: Path, text: str) -> Path:
    """A folder of spots with all files of one, and this as its record."""
    folder = archive / PREFIX / "spots"
    folder.mkdir(parents=True, exist_ok=True)
    for one in spot().files:
        (folder / one.file).write_bytes(b"x")
    (folder / f"launch-{HASH[:12]}.json").write_text(text)
    return folder
