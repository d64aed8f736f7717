"""What happens after a failed request, as the table says."""

from __future__ import annotations

import pytest

from callsheet import errors
from callsheet.steps.verdicts import Verdict, backoff_s, verdict


@pytest.mark.parametrize("error", [errors.Unreachable("x"), errors.Overloaded("x"), errors.RateLimited("x")])
def test_what_was_not_accepted_is_tried_again_and_at_last_given_up(error: errors.ProviderError) -> None:
    assert verdict("video", error, 0) is Verdict.RETRY
    assert verdict("image", error, 0) is Verdict.RETRY
    assert verdict("video", error, 100) is Verdict.FAIL


def test_a_picture_in_doubt_is_sent_once_more_and_a_video_never() -> None:
    assert verdict("image", errors.Unknown("x"), 0) is Verdict.AGAIN
    assert verdict("image", errors.Unknown("x"), 1) is Verdict.HOLD
    assert verdict("video", errors.Unknown("x"), 0) is Verdict.HOLD


def test_blocks_and_definitive_refusals_are_final() -> None:
    for kind in ("image", "video"):
        assert verdict(kind, errors.PromptBlocked("x"), 0) is Verdict.BLOCK
        assert verdict(kind, errors.ImageBlocked("x"), 0) is Verdict.BLOCK
        assert verdict(kind, errors.Rejected("x"), 0) is Verdict.FAIL
        assert verdict(kind, errors.Unauthorised("x"), 0) is Verdict.FAIL


def test_the_audio_filter_gets_one_more_free_try_and_the_content_filter_none() -> None:
    assert verdict("video", errors.VideoFiltered("x", audio=True), 0) is Verdict.RETRY
    assert verdict("video", errors.VideoFiltered("x", audio=True), 1) is Verdict.BLOCK
    assert verdict("video", errors.VideoFiltered("x"), 0) is Verdict.BLOCK


def test_a_used_up_day_is_parked() -> None:
    assert verdict("image", errors.RateLimited("x", per="day"), 0) is Verdict.PARK


def test_the_providers_hint_is_kept_to_and_spread() -> None:
    hinted = errors.RateLimited("x", retry_after_s=30)
    assert backoff_s(hinted, 5, 0.0) == 30
    assert backoff_s(hinted, 5, 1.0) == 37.5
    assert [backoff_s(errors.Overloaded("x"), n, 0.0) for n in (0, 1, 2, 10)] == [1, 2, 4, 60]
