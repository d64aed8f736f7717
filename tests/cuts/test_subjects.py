from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from callsheet.cuts.framing.geometry import Framing, Subject
from callsheet.cuts.framing.reframe import frame_subject
from callsheet.cuts.framing.saliency import box_around, find_subject
from callsheet.errors import MediaError
from callsheet.media.probe import probe_video
from tests.support.media_samples import make_clip, picture, turn
from tests.support.subject_clips import FPS, Scene, make_subject_clip, write_clip

RIGHT = {"start": (0.2, 0.5), "end": (0.8, 0.5)}
DIAGONAL = {"start": (0.8, 0.3), "end": (0.25, 0.7)}
SLOW = {"start": (0.2, 0.6), "end": (0.3, 0.6)}
TALL = {"size": (180, 320), "part": (0.35, 0.12)}
SCENES = [
    Scene("texture", **RIGHT),
    Scene("texture", **RIGHT, pan=0.3, look="grey", part=(0.07, 0.2), seed=2),
    Scene("texture", **DIAGONAL, look="dark", part=(0.2, 0.6), seed=3),
    Scene("texture", **SLOW, look="dark", part=(0.2, 0.6), seed=3),
    Scene("busy", **RIGHT, pan=-0.25, part=(0.16, 0.5), seed=4),
    Scene("busy", **DIAGONAL, look="grey", part=(0.1, 0.3), seed=2),
    Scene("busy", **DIAGONAL, pan=0.25, look="dark", seed=5),
    Scene("sky", **DIAGONAL, look="dark", part=(0.07, 0.2)),
    Scene("sky", **SLOW, look="grey"),
    Scene("texture", start=(0.5, 0.15), end=(0.5, 0.6), **TALL),
    Scene("busy", start=(0.4, 0.8), end=(0.6, 0.3), look="dark", pan=0.2, seed=2, **TALL),
]


def shown(framing: Framing, truth: list[tuple[float, float, float, float]]) -> float:
    """The share of frames in which the crop holds all of the subject, to a pixel."""
    times = [key.at_s for key in framing.path]
    inside = 0
    for number, (left, top, right, bottom) in enumerate(truth):
        x = np.interp(number / FPS, times, [key.x for key in framing.path])
        y = np.interp(number / FPS, times, [key.y for key in framing.path])
        across = x - 1 <= left and right <= x + framing.width + 1
        inside += across and y - 1 <= top and bottom <= y + framing.height + 1
    return inside / len(truth)


@pytest.mark.long
def test_a_moving_subject_stays_inside_the_crop_in_95_percent_of_frames(tmp_path, record_property):
    ours, centre = [], []
    for number, scene in enumerate(SCENES):
        path = tmp_path / f"{number}.mp4"
        truth = make_subject_clip(path, scene)
        probe = probe_video(path)
        subject = find_subject(path, probe)
        assert subject.how == "saliency"
        aspect = Fraction(9, 16) if probe.width > probe.height else Fraction(16, 9)
        found = [
            frame_subject(one, probe.width, probe.height, aspect, probe.duration_s)
            for one in (subject, Subject((), "centre", ""))
        ]
        assert [framing.how for framing in found] == ["crop", "crop"]
        ours.append(shown(found[0], truth))
        centre.append(shown(found[1], truth))
    record_property("inside", {"ours": float(np.mean(ours)), "centre": float(np.mean(centre))})
    assert np.mean(ours) >= 0.95, ours
    assert np.mean(centre) < 0.5


def still(rgb: np.ndarray) -> list[np.ndarray]:
    return [rgb] * 12


NOISE = np.random.default_rng(0).integers(0, 256, (24, 90, 160, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("pictures", "reason"),
    [
        (still(np.zeros((90, 160, 3), np.uint8)), "black or even"),
        (still(np.full((90, 160, 3), (90, 120, 200), np.uint8)), "black or even"),
        (list(NOISE), "busy everywhere"),
        (still(NOISE[0]), "busy everywhere"),
    ],
    ids=["black", "one colour", "noise", "still noise"],
)
def test_where_nothing_stands_out_the_centre_is_taken_and_the_reason_told(tmp_path, pictures, reason):
    path = write_clip(tmp_path / "clip.mp4", pictures)
    subject = find_subject(path, probe_video(path))
    assert (subject.how, subject.boxes) == ("centre", ())
    assert reason in subject.reason


def test_a_subject_that_stands_still_off_centre_is_found_while_the_camera_pans(tmp_path):
    scene = Scene("sky", (0.8, 0.5), (0.8, 0.5), pan=0.2)
    truth = make_subject_clip(tmp_path / "clip.mp4", scene)
    subject = find_subject(tmp_path / "clip.mp4", probe_video(tmp_path / "clip.mp4"))
    for box in subject.boxes:
        assert (box.left + box.right) / 2 == pytest.approx((truth[0][0] + truth[0][2]) / 2 / 320, abs=0.05)


def test_a_turned_clip_is_looked_at_upright(tmp_path):
    make_subject_clip(tmp_path / "clip.mp4", Scene("sky", (0.8, 0.3), (0.8, 0.3)))
    path = turn(tmp_path / "clip.mp4", (0, 1, -1, 0))
    probe = probe_video(path)
    assert probe.rotation == 90
    box = find_subject(path, probe).boxes[5]
    assert (box.left + box.right) / 2 == pytest.approx(0.7, abs=0.06)  # turned clockwise, the top is at the right
    assert (box.top + box.bottom) / 2 == pytest.approx(0.8, abs=0.06)


def test_a_picture_that_only_pans_or_zooms_has_nothing_that_moves(tmp_path):
    wide = np.asarray(picture(5, (480, 180)))
    path = write_clip(tmp_path / "clip.mp4", [wide[:, 6 * n : 6 * n + 320] for n in range(24)])
    subject = find_subject(path, probe_video(path))
    assert subject.how == "centre" or float(subject.reason.split("eye ")[1].split()[0]) < 3


def test_the_same_clip_gives_the_same_subject_and_few_frames_are_enough(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", (320, 180), frames=2)
    probe = probe_video(path)
    assert find_subject(path, probe) == find_subject(path, probe)


def test_a_place_where_one_frame_has_nothing_still_has_a_box():
    plane = np.zeros((18, 32), np.float32)
    plane[2, 3] = 1
    left, top, right, bottom = box_around(plane, (17, 31))
    assert 0 <= left < right <= 32
    assert 0 <= top < bottom <= 18


def test_a_clip_that_cannot_be_decoded_is_refused_in_words(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", (320, 180), audio=False)
    probe = probe_video(path)
    data = path.read_bytes()
    at = data.index(b"mdat") + 4
    path.write_bytes(data[:at] + bytes(len(data) - at))
    with pytest.raises(MediaError, match=r"decoded|read"):
        find_subject(path, probe)
