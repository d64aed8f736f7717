"""The page of what was found: inert texts, links that lead to the files, and nothing from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from callsheet.archive.layout import link_to
from callsheet.report.page import Search, finds_html
from tests.support.catalogues import NOON, row
from tests.support.gallery_pages import HOSTILE

USD = {"total": 0.0, "live": 0.0, "rehearsal": 0.0}


def page(*rows: dict[str, object], at: Path = Path("/pages/found.html"), **more: object) -> str:
    stills = more.pop("stills", {})
    told = {"asked": ("fog",), "archive": "/a", "made": NOON, "total": len(rows), "usd": USD, **more}
    return finds_html(Search(**told), rows, at, stills)  # type: ignore[arg-type]


class Tags(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_of_the_catalogue_stay_texts(text: str) -> None:
    plain = Tags(page(row("a", "clip"), row("b"))).found
    hostile = {"prompt": text, "frame_prompt": text, "batch": text, "model": text, "file": text, "uri": f"/{text}"}
    told = Tags(page(row(text, "clip", tags=[], **hostile), row("b"), asked=(text,), archive=text)).found
    names = [name for name, _ in told if name not in {"h3", "p"}]
    assert names == [name for name, _ in plain if name not in {"h3", "p"}]
    assert not {name for _, attributes in told for name in attributes if name.startswith("on")}


def test_nothing_is_loaded_from_elsewhere_and_no_script_runs() -> None:
    html = page(row("a"), row("b", "clip", uri="gs://bucket/team/b.mp4"))
    tags = Tags(html)
    policy = next(meta["content"] for meta in tags.of("meta") if meta.get("http-equiv"))
    assert policy
    assert "default-src 'none'" in policy
    assert tags.of("script") == []
    sources = [one["src"] for tag in ("img", "video") for one in tags.of(tag)]
    assert all(str(source).startswith("file:///") for source in sources)
    assert not re.search(r'(?:src|poster)="https?:', html)


def test_a_picture_shows_its_thumbnail_and_a_clip_plays_with_its_poster() -> None:
    folder = "/elsewhere/spring/spring.live/shots/a b#1"
    tags = Tags(
        page(
            row("a b#1", uri=f"{folder}/take.png", file="take.png", thumbnail="thumb.jpg"),
            row("a b#1", "clip", uri=f"{folder}/clip.mp4", file="clip.mp4", thumbnail="poster.jpg"),
        )
    )
    quoted = "file:///elsewhere/spring/spring.live/shots/a%20b%231"
    assert [image["src"] for image in tags.of("img")] == [f"{quoted}/thumb.jpg"]
    (video,) = tags.of("video")
    assert (video["src"], video["poster"]) == (f"{quoted}/clip.mp4", f"{quoted}/poster.jpg")
    assert "controls" in video
    assert video["aria-label"] == "a b#1, clip"


def test_a_poster_has_no_card_beside_its_video_and_one_without_it() -> None:
    clip = row("a", "clip")
    poster = row("a", "poster", parent=clip["sha256"])
    both = page(clip, poster)
    assert both.count("<article") == 1
    assert "1 poster on their videos" in both
    assert page(poster).count("<article") == 1


def test_an_old_row_without_a_thumbnail_shows_the_picture_itself() -> None:
    (image,) = Tags(page(row("a", uri="/x/take.png", file="take.png"))).of("img")
    assert image["src"] == "file:///x/take.png"


def test_what_is_in_a_bucket_has_its_still_inside_and_a_link_that_asks_for_a_login() -> None:
    asset = row("a", "clip", uri="gs://bucket/team/a b.mp4")
    with_still = Tags(page(asset, stills={str(asset["sha256"]): "data:image/jpeg;base64,AAAA"}))
    assert [image["src"] for image in with_still.of("img")] == ["data:image/jpeg;base64,AAAA"]
    assert {link["href"] for link in with_still.of("a")} == {
        "#found",
        "https://storage.cloud.google.com/bucket/team/a%20b.mp4",
    }
    without = page(asset)
    assert Tags(without).of("img") == Tags(without).of("video") == []
    assert "Open the clip" in without
    assert "gs://bucket/team/a b.mp4" in without


@pytest.mark.parametrize("name", ["a.png", "100%.png", "a?b#c d.png", "灯台.png", "it's [1].png"])
def test_a_link_leads_back_to_the_file_it_was_made_of(name: str, tmp_path: Path) -> None:
    assert unquote(urlsplit(link_to(f"{tmp_path}/{name}")).path) == f"{tmp_path}/{name}"
    assert unquote(link_to(f"{tmp_path}/x/{name}", beside=tmp_path)) == f"x/{name}"
    assert link_to(f"{tmp_path}/x/{name}", beside=tmp_path / "y").startswith("file:///")
    assert link_to(f"{tmp_path}/y/../../{name}", beside=tmp_path / "y").startswith("file:///")


def test_rehearsed_and_paid_are_told_apart() -> None:
    rehearsed, paid = row("a", mode="rehearsal"), row("b")
    banner = "Nothing was sent to a provider"
    assert banner in page(rehearsed)
    mixed = page(rehearsed, paid, usd={"total": 3.0, "live": 1.0, "rehearsal": 2.0})
    assert banner not in mixed
    assert mixed.count(">Rehearsal<") == 1
    assert "Would have cost" in mixed
    assert "$2.00" in mixed


def test_more_was_found_than_is_shown_and_nothing_at_all() -> None:
    assert "the newest of 1,234" in page(row("a"), total=1234)
    assert "Nothing in the catalogue fits" in page()
