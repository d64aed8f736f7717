from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.cuts.framing.geometry import CropKey, Framing, Subject, SubjectBox, parse_focus
from callsheet.cuts.framing.reframe import Gate, calm_path, frame_subject

NINE = Fraction(9, 16)
CENTRE = Subject((), "centre", "nothing stands out")


def seen(*places: tuple[float, float], how: str = "saliency", wide: float = 0.1) -> Subject:
    """A subject of the height 0.4 whose centre is at x at the times given."""
    boxes = [SubjectBox(at_s, max(0.0, x - wide / 2), 0.3, min(1.0, x + wide / 2), 0.7) for at_s, x in places]
    return Subject(tuple(boxes), how, "seen")


def test_without_a_subject_the_crop_is_the_centre_and_says_why():
    assert frame_subject(CENTRE, 1280, 720, NINE, 8.0) == Framing(
        "crop", 404, 718, (CropKey(0.0, 438, 0),), "the centre: nothing stands out"
    )


def test_a_subject_that_stays_gets_one_steady_crop_around_it():
    framing = frame_subject(seen((0, 0.8), (4, 0.81), (8, 0.79)), 1280, 720, NINE, 8.0)
    (key,) = framing.path
    assert key.x <= 0.74 * 1280 <= 0.86 * 1280 <= key.x + framing.width
    assert framing.reason.startswith("steady on what stands out")


def test_one_wrong_box_does_not_move_the_crop():
    places = [(float(n), 0.8) for n in range(8)]
    places[3] = (3.0, 0.1)
    assert len(frame_subject(seen(*places), 1280, 720, NINE, 8.0).path) == 1


def test_a_subject_that_crosses_the_picture_is_followed_calmly():
    framing = frame_subject(seen(*((float(n), 0.1 + 0.1 * n) for n in range(9))), 1280, 720, NINE, 8.0)
    assert framing.how == "crop"
    assert 2 <= len(framing.path) <= 4
    speeds = [(b.x - a.x) / (b.at_s - a.at_s) for a, b in zip(framing.path, framing.path[1:], strict=False)]
    assert max(speeds) <= 0.11 * 1280
    assert framing.reason.startswith("follows what stands out")


def test_a_subject_wider_than_the_crop_shows_the_whole_picture():
    framing = frame_subject(seen((0, 0.5), (8, 0.5), wide=0.6), 1280, 720, NINE, 8.0)
    assert (framing.how, framing.path) == ("pad", ())
    assert "60% wide, a crop 32%" in framing.reason


def test_a_place_that_was_given_is_taken_at_its_word():
    assert frame_subject(seen((0, 0.5), how="given", wide=0.4), 1280, 720, NINE, 8.0).how == "pad"
    assert frame_subject(seen((0, 0.5), wide=0.4), 1280, 720, NINE, 8.0).how == "crop"
    left = Subject((SubjectBox(0, 0.0, 0.5, 0.0, 0.5),), "given", "left was asked for")
    assert frame_subject(left, 1280, 720, NINE, 8.0).path == (CropKey(0.0, 0, 0),)


def test_an_upright_clip_moves_up_and_down():
    boxes = tuple(SubjectBox(float(n), 0.3, 0.1 + 0.09 * n, 0.7, 0.2 + 0.09 * n) for n in range(9))
    framing = frame_subject(Subject(boxes, "saliency", "seen"), 720, 1280, Fraction(16, 9), 8.0)
    assert {key.x for key in framing.path} == {0}
    assert framing.path[0].y < framing.path[-1].y


SHARES = st.floats(0, 1)
TIMES = st.lists(st.floats(0, 70), max_size=12, unique=True).map(sorted)


@st.composite
def subjects(draw: st.DrawFn) -> Subject:
    how = draw(st.sampled_from(["given", "asked", "saliency"]))
    boxes = []
    for at_s in draw(TIMES):
        left, right = sorted((draw(SHARES), draw(SHARES)))
        top, bottom = sorted((draw(SHARES), draw(SHARES)))
        boxes.append(SubjectBox(at_s, left, top, right, bottom))
    return Subject(tuple(boxes), how, "seen")


@given(
    subject=subjects(),
    width=st.integers(64, 4096),
    height=st.integers(64, 4096),
    aspect=st.sampled_from([NINE, Fraction(4, 5), Fraction(1), Fraction(16, 9), Fraction(2, 3)]),
    duration_s=st.floats(0.1, 60),
)
@settings(max_examples=300)
def test_any_framing_is_even_inside_the_picture_and_true_to_the_aspect(subject, width, height, aspect, duration_s):
    framing = frame_subject(subject, width, height, aspect, duration_s)
    wide, high = framing.width, framing.height
    assert min(abs(wide - high * aspect), abs(high - wide / aspect)) < 1
    assert wide % 2 == high % 2 == 0
    assert (framing.how == "pad") == (framing.path == ())
    for key in framing.path:
        assert 0 <= key.x <= key.x + wide <= width
        assert 0 <= key.y <= key.y + high <= height
        assert key.x % 2 == key.y % 2 == 0
    times = [key.at_s for key in framing.path]
    assert times == sorted(set(times))
    assert not times or (times[0] == 0.0 and times[-1] <= duration_s + 0.001)
    assert framing.reason


@given(
    st.lists(st.tuples(st.floats(0.1, 5), st.floats(0, 100), st.floats(0, 50)), min_size=1, max_size=20),
)
def test_a_calm_path_passes_through_every_gate(steps):
    at_s, gates = 0.0, []
    for pause_s, low, room in steps:
        gates.append(Gate(at_s, low, low + room))
        at_s += pause_s
    points = calm_path(gates)
    for gate in gates:
        value = _at(points, gate.at_s)
        assert gate.low - 1e-6 <= value <= gate.high + 1e-6


def test_a_calm_path_stands_still_where_it_can_and_moves_at_an_even_pace_where_it_must():
    assert calm_path([Gate(0, 0, 10), Gate(1, 5, 20), Gate(2, 8, 30)]) == [(0, 9)]
    path = calm_path([Gate(0, 0, 10), Gate(1, 0, 10), Gate(5, 50, 60)])
    assert path == [(0, 10), (1, 10), (5, 50)]


def _at(points: list[tuple[float, float]], at_s: float) -> float:
    if len(points) == 1 or at_s >= points[-1][0]:
        return points[-1][1]
    n = max(n for n, point in enumerate(points) if point[0] <= at_s)
    (t0, a), (t1, b) = points[n], points[n + 1]
    return a + (b - a) * (at_s - t0) / (t1 - t0)


@pytest.mark.parametrize("duration_s", [0.5, 8.0])
def test_boxes_after_the_end_are_left_out(duration_s):
    framing = frame_subject(seen((0, 0.2), (20, 0.9)), 1280, 720, NINE, duration_s)
    assert len(framing.path) == 1


@pytest.mark.parametrize(("focus", "x"), [("left", 0), ("right", 876), ("0,0,0.2,1", 0)])
def test_a_subject_at_the_edge_of_the_picture_is_shown_steadily(focus: str, x: int) -> None:
    subject = parse_focus(focus).subject()
    assert subject is not None
    framing = frame_subject(subject, 1280, 720, Fraction(9, 16), 4.0)
    assert (framing.path[0].x, len(framing.path)) == (x, 1)
    assert framing.reason.startswith("steady on the place given")
