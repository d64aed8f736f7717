from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.cuts.framing.geometry import Focus, Subject, SubjectBox, parse_focus
from callsheet.errors import UsageError

SHARES = st.floats(0, 1).map(lambda value: round(value, 3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", Focus("auto", "auto")),
        (" Ask ", Focus("ask", "ask")),
        ("CENTRE", Focus("centre", "centre")),
        ("left", Focus("given", "left", (0.0, 0.5, 0.0, 0.5))),
        ("bottom", Focus("given", "bottom", (0.5, 1.0, 0.5, 1.0))),
        ("0.25, 0.5", Focus("given", "0.25,0.5", (0.25, 0.5, 0.25, 0.5))),
        ("0,.1,1,1.0", Focus("given", "0,0.1,1,1", (0.0, 0.1, 1.0, 1.0))),
    ],
)
def test_every_way_to_name_a_focus_is_understood(text, expected):
    assert parse_focus(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("middle", "'middle' is no focus. Allowed: auto, ask, centre"),
        ("", "is no focus"),
        ("0.1,x", "not all parts are numbers"),
        ("0.1,0.2,0.3", "has 3 numbers"),
        ("0.1,1.2", "between 0 and 1"),
        ("nan,0.5", "between 0 and 1"),
        ("0.6,0,0.4,1", "left must be less than right"),
        ("," * 100_000, "no focus"),
    ],
)
def test_a_focus_that_makes_no_sense_is_refused_in_words(text, words):
    with pytest.raises(UsageError, match=words) as refused:
        parse_focus(text)
    assert len(str(refused.value)) < 300


@given(st.text(max_size=30))
def test_any_text_is_a_focus_or_a_clear_error(text):
    try:
        focus = parse_focus(text)
    except UsageError:
        return
    assert parse_focus(focus.text) == focus


@given(SHARES, SHARES)
def test_a_point_is_kept_as_it_was_written(x, y):
    assert parse_focus(f"{x},{y}").box == (x, y, x, y)


def test_what_the_manifest_gives_needs_no_looking():
    assert parse_focus("auto").subject() is None
    assert parse_focus("ask").subject() is None
    assert parse_focus("centre").subject() == Subject((), "centre", "the centre was asked for")
    assert parse_focus("right").subject() == Subject(
        (SubjectBox(0.0, 1.0, 0.5, 1.0, 0.5),), "given", "right was asked for"
    )
