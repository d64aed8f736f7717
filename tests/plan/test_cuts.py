from __future__ import annotations

from decimal import Decimal

import pytest

from callsheet.plan.cuts import ClipOffer, advise_native
from callsheet.platforms import load_platforms

PLATFORMS = load_platforms()


def advise(cuts: str, aspect: str = "16:9", allowed: tuple[str, ...] = ("16:9", "9:16"), **options):
    specs = [PLATFORMS.get(name) for name in cuts.split()]
    return advise_native(specs, ClipOffer(aspect, "720p", 8.0, Decimal("3.20")), allowed, **options)


def test_another_aspect_is_advised_when_more_cuts_show_the_whole_picture():
    advice = advise("shorts reels tiktok 1x1")
    assert (advice.aspect, advice.whole, advice.cropped, advice.before) == (
        "9:16",
        ("shorts", "reels", "tiktok"),
        ("1x1",),
        0,
    )
    assert advice.saved_cpu_s == pytest.approx(3 * 8 * (0.14 + 0.57 * 0.9216 - 0.02), abs=0.2)
    assert advice.sentence == (
        "made in 9:16, the clip would serve 3 of 4 cuts without cropping (shorts, reels, tiktok) instead of 0, for the "
        "same price and about 16 CPU-seconds less; a second clip in 9:16 would cost 3.20 USD"
    )


@pytest.mark.parametrize("cuts", ["16x9 x", "16x9 reels", "1x1", "x linkedin", ""])
def test_nothing_is_advised_when_no_aspect_serves_more_cuts(cuts):
    assert advise(cuts) is None


def test_an_aspect_that_a_platform_keeps_counts_as_whole():
    assert advise("linkedin x reels").whole == ("linkedin", "x", "reels")


def test_the_model_must_be_able_to_make_the_aspect():
    assert advise("reels", allowed=("16:9",)) is None


def test_where_everything_is_drawn_upon_no_work_is_saved_but_the_picture_stays_whole():
    advice = advise("reels shorts", drawn=True)
    assert advice.saved_cpu_s == 0
    assert "CPU" not in advice.sentence
    assert "second clip" not in advice.sentence
