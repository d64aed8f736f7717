"""What an object tells beside its bytes: names that every browser takes, and lineage that fits."""

from __future__ import annotations

import base64

from aiohttp import content_disposition_filename, parse_content_disposition
from hypothesis import given
from hypothesis import strategies as st

from callsheet.archive.store import MAX_METADATA, about_file, bounded, disposition, resource

HASH = "0123456789ab"


def saved_as(header: str) -> str:
    """The name that a reader of RFC 6266 takes from the header."""
    kind, parameters = parse_content_disposition(header)
    assert kind == "inline"
    name = content_disposition_filename(parameters)
    assert isinstance(name, str)
    return name


def test_a_download_has_a_readable_name() -> None:
    told = about_file("autumn", "autumn-2026.live", "lighthouse", f"take-2-{HASH}.png")
    assert told["download_name"] == "autumn-lighthouse-take-2.png"
    assert told["metadata"] == {"campaign": "autumn", "batch": "autumn-2026.live", "shot": "lighthouse"}
    assert about_file("c", "c.live", "cut-0123456789ab", f"a/cut-9x16-{HASH}.mp4")["download_name"] == (
        "c-cut-0123456789ab-cut-9x16.mp4"
    )
    assert about_file("c", "c.live", None, "gallery.html")["download_name"] == "c-gallery.html"


def test_names_of_other_scripts_arrive_as_they_are_and_old_readers_get_something() -> None:
    header = disposition("été-灯台-take-1.png")
    assert saved_as(header) == "été-灯台-take-1.png"
    assert 'filename="_t_-_-take-1.png"' in header


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_any_name_makes_a_header_that_is_plain_ascii_and_cannot_leave_the_folder(name: str) -> None:
    header = disposition(name)
    assert header.isascii()
    assert header.isprintable()
    saved = saved_as(header)
    assert saved
    assert not set(saved) & set('/\\"\r\n')
    assert saved not in {".", ".."}
    assert len(saved) <= 300


def test_a_long_name_keeps_its_extension() -> None:
    assert saved_as(disposition("x" * 400 + ".mp4")).endswith("x.mp4")
    assert len(disposition("日" * 400 + ".mp4")) < 2000


def test_the_md5_is_declared_as_the_service_wants_it() -> None:
    told = resource("a/b", content_type="image/png", md5="d41d8cd98f00b204e9800998ecf8427e")
    assert told == {"name": "a/b", "contentType": "image/png", "md5Hash": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    assert base64.b64decode(told["md5Hash"]).hex() == "d41d8cd98f00b204e9800998ecf8427e"


@given(st.dictionaries(st.text(min_size=1, max_size=40), st.text(max_size=9000), max_size=6))
def test_custom_metadata_never_exceeds_what_an_object_may_have(metadata: dict[str, str]) -> None:
    kept = bounded(metadata)
    assert sum(len(name.encode()) + len(value.encode()) for name, value in kept.items()) <= MAX_METADATA
    assert list(kept) == list(metadata)[: len(kept)]
