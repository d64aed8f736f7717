"""What happens after a failed request, as the table says."""

from __future__ import annotations

import pytest

from callsheet import errors
from callsheet.context.poller import ENDS
from callsheet.providers.http_errors import Phase, from_reply
from callsheet.providers.retry_policy import RetryDecision, backoff_s, decide_retry
from callsheet.report.failures_doc import failures_page
from tests.support.paths import ROOT


@pytest.mark.parametrize("error", [errors.Unreachable("x"), errors.Overloaded("x"), errors.RateLimited("x")])
def test_what_was_not_accepted_is_tried_again_and_at_last_given_up(error: errors.ProviderError) -> None:
    assert decide_retry("video", error, 0) is RetryDecision.RETRY
    assert decide_retry("image", error, 0) is RetryDecision.RETRY
    assert decide_retry("video", error, 100) is RetryDecision.FAIL


def test_a_picture_in_doubt_is_sent_once_more_and_a_video_never() -> None:
    assert decide_retry("image", errors.Unknown("x"), 0) is RetryDecision.AGAIN
    assert decide_retry("image", errors.Unknown("x"), 1) is RetryDecision.HOLD
    assert decide_retry("video", errors.Unknown("x"), 0) is RetryDecision.HOLD


def test_blocks_and_definitive_refusals_are_final() -> None:
    for kind in ("image", "video"):
        assert decide_retry(kind, errors.PromptBlocked("x"), 0) is RetryDecision.BLOCK
        assert decide_retry(kind, errors.ImageBlocked("x"), 0) is RetryDecision.BLOCK
        assert decide_retry(kind, errors.Rejected("x"), 0) is RetryDecision.FAIL
        assert decide_retry(kind, errors.Unauthorised("x"), 0) is RetryDecision.FAIL


def test_the_audio_filter_gets_one_more_free_try_and_the_content_filter_none() -> None:
    assert decide_retry("video", errors.VideoFiltered("x", audio=True), 0) is RetryDecision.RETRY
    assert decide_retry("video", errors.VideoFiltered("x", audio=True), 1) is RetryDecision.BLOCK
    assert decide_retry("video", errors.VideoFiltered("x"), 0) is RetryDecision.BLOCK


def test_an_operation_that_ended_with_a_passing_error_is_submitted_again_and_others_are_not() -> None:
    busy = errors.OperationFailed("x", reason="UNAVAILABLE")
    assert [decide_retry("video", busy, earlier) for earlier in (0, 1, 2)] == [
        RetryDecision.RETRY,
        RetryDecision.RETRY,
        RetryDecision.FAIL,
    ]
    assert decide_retry("video", errors.OperationFailed("x", reason="INVALID_ARGUMENT"), 0) is RetryDecision.FAIL


def test_part_of_a_picture_is_paid_for_and_never_asked_for_again_unasked() -> None:
    assert errors.BadImage("x").charged is True
    assert decide_retry("image", errors.BadImage("x"), 0) is RetryDecision.FAIL


def test_a_used_up_day_is_parked() -> None:
    assert decide_retry("image", errors.RateLimited("x", per="day"), 0) is RetryDecision.PARK


def test_the_providers_hint_is_kept_to_and_spread() -> None:
    hinted = errors.RateLimited("x", retry_after_s=30)
    assert backoff_s(hinted, 5, 0.0) == 30
    assert backoff_s(hinted, 5, 1.0) == 37.5
    assert [backoff_s(errors.Overloaded("x"), n, 0.0) for n in (0, 1, 2, 10)] == [1, 2, 4, 60]


def test_the_page_about_failures_is_what_the_code_does() -> None:
    page = ROOT / "docs" / "failures.md"
    assert page.read_text() == failures_page(), (
        "write it anew: python -m callsheet.report.failures_doc > docs/failures.md"
    )


def test_no_reply_to_a_poll_ends_a_paid_operation_but_the_providers_own() -> None:
    """What the poller takes for an end: see callsheet.context.poller.ENDS."""
    own = {"error": {"code": 404, "message": "Requested entity was not found.", "status": "NOT_FOUND"}}
    for status in range(300, 600):
        for body in (None, b"<html>a proxy</html>", {"error": {"code": status, "message": "m", "status": "S"}}, own):
            error = from_reply(status, body, Phase.POLL, what="an operation")
            genuine_404 = status in (404, 410) and isinstance(body, dict)
            assert isinstance(error, ENDS) == genuine_404, (status, body)


def test_every_submission_error_is_either_known_not_to_be_accepted_or_unknown() -> None:
    for status in range(300, 600):
        for body in (None, b"<html>a proxy</html>", {"error": {"code": status, "message": "m", "status": "S"}}):
            error = from_reply(status, body, Phase.SUBMIT, what="a video")
            surely_not = status in (301, 302, 307, 308, 429, 503) or (400 <= status < 500 and status not in (408, 499))
            assert isinstance(error, errors.Unknown) != surely_not, (status, error)
            assert (decide_retry("video", error, 0) is RetryDecision.HOLD) != surely_not
