from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from callsheet.errors import MediaError
from callsheet.media.facts import FrameScore
from callsheet.media.frames import FrameCandidate, choose_frames, gate, hamming
from callsheet.media.probe import probe_image
from callsheet.media.scores import score_image
from tests.support.media_samples import encoded, picture


def candidate(take: int, image: Image.Image, aspect: str | None = "16:9") -> FrameCandidate:
    data = encoded(image)
    score = score_image(data)
    return FrameCandidate(take, score, gate(score, probe_image(data), aspect))


def dark(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(0.08)


def test_the_blurred_take_loses():
    """Even one with more contrast and colour, as take 1 has here."""
    choice = choose_frames(
        [candidate(1, picture(2).filter(ImageFilter.GaussianBlur(4))), candidate(2, picture(1))], "best"
    )
    assert choice.chosen == (2,)
    assert choice.verdicts[1].why == "best of 2: the only one that passes; take 1 is blurred"


def test_the_take_with_the_best_mean_rank_wins_and_is_praised_for_what_it_leads_in():
    soft = ImageEnhance.Contrast(picture(2).filter(ImageFilter.GaussianBlur(1))).enhance(0.7)
    choice = choose_frames([candidate(1, soft), candidate(2, picture(1))], "best")
    assert choice.chosen == (2,)
    assert choice.verdicts[1].rank > choice.verdicts[0].rank
    assert choice.verdicts[1].why.startswith("best of 2: sharpest")


def test_of_two_near_duplicates_the_sharper_stays():
    image = picture(1)
    choice = choose_frames([candidate(1, image.filter(ImageFilter.GaussianBlur(1))), candidate(2, image)], "best")
    assert choice.chosen == (2,)
    assert choice.verdicts[0].rejected == "a near-duplicate of take 2, which is sharper"


def test_the_reason_tells_of_every_other_take():
    image = picture(1)
    takes = [
        candidate(1, image),
        candidate(2, image.filter(ImageFilter.GaussianBlur(1))),
        candidate(3, dark(picture(2))),
        FrameCandidate(4, None),
    ]
    why = choose_frames(takes, "best").verdicts[0].why
    assert why == (
        "best of 3: the only one that passes; take 2 is a near-duplicate of take 1, which is sharper,"
        " take 3 is too dark, take 4 is not decodable"
    )


def test_the_best_of_the_failing_is_chosen_and_the_reason_says_so():
    choice = choose_frames([candidate(1, dark(picture(1))), candidate(2, dark(picture(2)))], "best")
    assert len(choice.chosen) == 1
    why = next(verdict.why for verdict in choice.verdicts if verdict.chosen)
    assert "although every take fails the gates" in why
    assert "too dark" in why


def test_takes_that_cannot_be_decoded_are_never_chosen_unasked():
    for select in ("best", "first", "all"):
        assert choose_frames([FrameCandidate(1, None), candidate(2, picture(1))], select).chosen == (2,)
        assert choose_frames([FrameCandidate(1, None)], select).chosen == ()


def test_first_takes_the_first_that_passes_else_the_first():
    takes = [candidate(1, dark(picture(1))), candidate(2, picture(2)), candidate(3, picture(3))]
    assert choose_frames(takes, "first").chosen == (2,)
    assert choose_frames(takes[:1], "first").chosen == (1,)


def test_numbers_are_taken_as_they_are_and_missing_ones_reported():
    takes = [candidate(1, dark(picture(1))), candidate(2, picture(2))]
    choice = choose_frames(takes, (2, 1, 7, 2))
    assert (choice.chosen, choice.missing) == ((2, 1), (7,))
    assert choice.verdicts[0].why == "asked for by number; it is too dark"


def test_a_tie_goes_to_the_lower_number():
    score = FrameScore(100, 0, 7, 500, 50, 50, 0)
    other = FrameScore(100, 0, 7, 500, 50, 50, (1 << 64) - 1)
    assert choose_frames([FrameCandidate(2, other), FrameCandidate(1, score)], "best").chosen == (1,)


def night() -> Image.Image:
    image, rng = Image.new("RGB", (1024, 576), (2, 3, 6)), random.Random(1)
    draw = ImageDraw.Draw(image)
    for _ in range(120):
        x, y = rng.randrange(1024), rng.randrange(576)
        draw.ellipse((x, y, x + 18, y + 18), fill=tuple(rng.randrange(90, 255) for _ in range(3)))
    return image


def on_ground(colour: str) -> Image.Image:
    image = Image.new("RGB", (1024, 576), colour)
    image.paste(picture(1, (256, 256)), (380, 150))
    return image


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (picture(1), None),
        (night(), None),
        (on_ground("white"), None),
        (on_ground("black"), None),
        (dark(picture(1)), "too dark"),
        (Image.new("RGB", (1024, 576)), "nearly all black"),
        (Image.new("RGB", (1024, 576), "white"), "nearly all white"),
        (Image.new("RGB", (1024, 576), (240, 240, 240)), "too bright"),
        (Image.new("RGB", (1024, 576), (120, 90, 130)), "flat, without detail"),
        (picture(1, (1024, 1024)), "1024x1024 px instead of 16:9"),
        (picture(1, (1344, 768)), None),
    ],
)
def test_gates_stop_dead_pictures_but_not_night_scenes_or_products_on_white(image, reason):
    assert candidate(1, image).gate == reason


def test_scores_fall_with_blur_and_do_not_depend_on_the_format_much():
    image = picture(1)
    sharpness = [score_image(encoded(image.filter(ImageFilter.GaussianBlur(r)))).sharpness for r in (0, 1, 2, 4)]
    assert sharpness == sorted(sharpness, reverse=True)
    png, jpeg = score_image(encoded(image)), score_image(encoded(image, "JPEG"))
    assert hamming(png.dhash, jpeg.dhash) <= 3
    assert jpeg.luma == pytest.approx(png.luma, abs=2)
    assert jpeg.colourfulness == pytest.approx(png.colourfulness, rel=0.1)


def test_a_picture_that_cannot_be_decoded_has_no_score(tmp_path):
    path = tmp_path / "take.png"
    path.write_bytes(encoded(picture(1))[:5000])
    with pytest.raises(MediaError, match=r"take\.png"):
        score_image(path)


number = st.floats(0, 1e6, allow_nan=False)
scores = st.builds(FrameScore, number, st.floats(0, 1), number, number, number, number, st.integers(0, 2**64 - 1))
gates = st.none() | st.sampled_from(["too dark", "flat"])
candidates = st.lists(
    st.builds(FrameCandidate, st.integers(1, 12), st.none() | scores, gates), max_size=8, unique_by=lambda one: one.take
)
selects = st.sampled_from(["best", "first", "all"]) | st.lists(st.integers(1, 14), min_size=1, max_size=5).map(tuple)


@given(candidates, selects, st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_any_choice_is_of_made_takes_and_does_not_depend_on_their_order(takes, select, rng):
    choice = choose_frames(takes, select)
    made = {one.take for one in takes}
    assert set(choice.chosen) <= made
    assert len(set(choice.chosen)) == len(choice.chosen)
    assert [verdict.take for verdict in choice.verdicts] == sorted(made)
    assert {verdict.take for verdict in choice.verdicts if verdict.chosen} == set(choice.chosen)
    assert all(bool(verdict.why) == verdict.chosen for verdict in choice.verdicts)
    assert all(verdict.rank is None or 0 <= verdict.rank <= 1 for verdict in choice.verdicts)
    assert bool(choice.chosen) == bool(takes) or any(one.score is None for one in takes) or isinstance(select, tuple)
    shuffled = list(takes)
    rng.shuffle(shuffled)
    assert choose_frames(shuffled, select) == choice
