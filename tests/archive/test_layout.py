from __future__ import annotations

from datetime import date

import pytest

from callsheet.archive import layout

SHA = "0123456789abcdef" * 4


def test_files_are_named_by_what_they_are_and_hold() -> None:
    assert layout.take_name(2, SHA, "image/png") == "take-2-0123456789ab.png"
    assert layout.clip_name(SHA, "video/mp4") == "clip-0123456789ab.mp4"
    assert layout.clip_name(SHA, "video/mp4", take=2) == "clip-2-0123456789ab.mp4"
    assert layout.cut_name("9:16", SHA, "video/mp4") == "cut-9x16-0123456789ab.mp4"
    assert layout.cut_name("9x16", SHA, "video/mp4", take=3) == "cut-9x16-3-0123456789ab.mp4"
    assert layout.cut_name("../../x", SHA, "video/mp4") == "cut-x-0123456789ab.mp4"
    assert layout.poster_name(SHA, "image/jpeg; q=1") == "poster-0123456789ab.jpg"
    assert layout.thumbnail_name(SHA, "x-unknown/strange") == "thumb-0123456789ab.bin"


def test_a_name_needs_a_hash() -> None:
    with pytest.raises(ValueError, match="not a sha256"):
        layout.take_name(1, "../../../../etc/passwd", "image/png")


def test_documents_stand_beside_the_shots() -> None:
    prefix = "spring/spring.2026-11.live"
    assert layout.sidecar_name(prefix, "hero 1") == f"{prefix}/shots/hero 1/shot.json"
    assert layout.document(prefix, layout.GALLERY) == f"{prefix}/gallery.html"
    assert layout.manifest_name(prefix, "gs://drop/Spring.YAML") == f"{prefix}/manifest.yaml"
    assert layout.manifest_name(prefix, "/srv/odd.name/manifest") == f"{prefix}/manifest"


def test_catalogue_parts_are_numbered_within_their_batch() -> None:
    name = layout.catalogue_part("spring.live", date(2026, 11, 21), 12)
    assert name == "catalog/dt=2026-11-21/spring.live-12.parquet"
    assert layout.part_of(name) == (date(2026, 11, 21), "spring.live", 12)
    assert layout.part_of(name.replace("/dt", "/extra/dt")) is None
    assert layout.part_of(name.replace("11-21", "11-31")) is None


def test_readable_ids_stay_as_they_are() -> None:
    for shot in ("hero-1", "hero 1", "héro #1", "日本"):
        assert layout.folder_name(shot) == shot
    assert layout.folder_name("a/b").startswith("a_b-")
    assert layout.folder_name("e\u0301") != layout.folder_name("\u00e9")
