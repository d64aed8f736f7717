from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest

from callsheet.errors import CatalogueError
from callsheet.platforms import PlatformSpec, load_platforms
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "howto" / "social-cuts.md"
NAMES = ("9x16", "4x5", "1x1", "16x9", "shorts", "reels", "stories", "feed", "tiktok", "x", "linkedin", "facebook")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_every_platform_of_the_built_in_file_names_a_source_for_every_number():
    known = load_platforms()
    assert known.names == (*NAMES, "pinterest")
    for name in known.names:
        spec = known.get(name)
        assert {"size", "loudness"} <= {fact.about for fact in spec.facts}
        assert all(fact.source for fact in spec.facts)
        assert spec.width % 2 == spec.height % 2 == 0


@pytest.mark.parametrize("name", ["tiktok", "linkedin"])
def test_what_nobody_has_looked_up_is_marked(name):
    assert {"size", "fps", "duration", "file"} <= set(load_platforms().get(name).unverified)


def test_plain_aspects_limit_nothing_but_the_picture():
    spec = load_platforms().get("9x16")
    plain = PlatformSpec("9x16", spec.title, 1080, 1920, facts=spec.facts)
    assert spec == plain
    assert spec.unverified == ()


@pytest.mark.parametrize("name", ["9:16", " 9x16", "REELS", "Shorts"])
def test_names_are_found_as_people_write_them(name):
    assert load_platforms().find(name) is not None


def test_an_unknown_platform_is_answered_with_the_nearest_and_all():
    with pytest.raises(CatalogueError, match=r"no cut 'reel'. Did you mean reels\? There are 9x16, .*pinterest"):
        load_platforms().get("reel")
    assert load_platforms().find("reel") is None


def test_a_clip_is_left_in_an_aspect_that_the_platform_keeps():
    spec = load_platforms().get("shorts")
    assert spec.aspect_for(1080, 1080) == 1
    assert spec.aspect_for(1080, 1350) == Fraction(9, 16)


def test_ones_own_file_adds_and_changes_platforms(tmp_path):
    path = written(
        tmp_path,
        """
        platforms:
          kiosk:
            inherits: "9:16"
            title: Kiosk
            size: {width: 720, height: 1280, source: our hardware, checked_on: 2026-11-01}
          reels:
            duration: {max_s: 30, trims: true}
            file: null
        """,
    )
    known = load_platforms(path)
    assert (known.get("kiosk").width, known.get("kiosk").lufs, known.get("kiosk").unverified) == (720, -14.0, ())
    reels, built_in = known.get("reels"), load_platforms().get("reels")
    assert (reels.max_s, reels.min_s, reels.trims, reels.max_bytes) == (30, 3, True, None)
    assert reels.max_kbps == built_in.max_kbps
    assert known.get("stories") == load_platforms().get("stories")


def test_the_file_that_the_readme_shows_is_taken(tmp_path):
    text = re.search(r"```yaml\n(platforms:.*?)```", PAGE.read_text(), re.DOTALL)[1]
    known = load_platforms(written(tmp_path, text))
    assert (known.get("kiosk").height, known.get("reels").max_s, known.get("reels").trims) == (1280, 30, True)


def test_a_number_of_ones_own_does_not_borrow_the_source_of_the_one_it_replaces(tmp_path):
    known = load_platforms(written(tmp_path, "platforms: {reels: {duration: {max_s: 30}}}"))
    fact = next(fact for fact in known.get("reels").facts if fact.about == "duration")
    assert (fact.source, fact.checked_on) == ("mine.yaml", None)
    assert known.get("reels").unverified == ("duration",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("platforms: [1]", "mapping of names"),
        ("platforms: {a: 1}", "platforms.a"),
        ("other: 1", "other: not known"),
        ("platforms: {a: {inherits: a}}", "inherits from itself"),
        ("platforms: {a: {inherits: b}, b: {inherits: a}}", "inherits from itself"),
        ("platforms: {a: {inherits: reel}}", "no platform 'reel'; did you mean reels"),
        ("platforms: {a-b: {inherits: reels}}", "a-b"),
        ("platforms: {../x: {inherits: reels}}", "../x"),
        ("platforms: {reels: {size: {width: 1081}}}", "size.width"),
        ("platforms: {reels: {size: {width: 100000}}}", "size.width"),
        ("platforms: {reels: {fps: {min: 50, max: 30}}}", "min is more than max"),
        ("platforms: {reels: {fps: {min: nan}}}", "fps.min"),
        ("platforms: {reels: {duration: {min_s: 30, max_s: 5}}}", "min_s is more than max_s"),
        ("platforms: {reels: {video: {max_gop_s: 0.5}}}", "gop_s is more"),
        ("platforms: {reels: {colour: red}}", "reels.colour"),
        ("platforms: {reels: {loudness: {lufs: 3}}}", "lufs"),
        ("platforms: {a: &a {title: b}, c: *a}", "aliases"),
        ("platforms: {", "not valid YAML"),
    ],
)
def test_a_wrong_file_is_answered_with_the_file_and_the_field(tmp_path, text, told):
    with pytest.raises(CatalogueError) as caught:
        load_platforms(written(tmp_path, text))
    assert told in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_a_file_that_is_not_there_is_an_error_in_words(tmp_path):
    with pytest.raises(CatalogueError, match="cannot be read"):
        load_platforms(tmp_path / "none.yaml")


def test_what_decides_a_cut_is_told_as_json_values():
    numbers = load_platforms().get("shorts").numbers()
    assert numbers["keeps"] == ["1"]
    assert numbers["safe"] == {"left": 0.06, "top": 0.15, "right": 0.13, "bottom": 0.25}
    assert {"title", "facts"}.isdisjoint(numbers)
