"""The retry policy: what follows a failed request.

One table, read top to bottom, the first matching class decides. `RETRY` is for what is known not to have been accepted:
trying again is free. `AGAIN` sends once more although the first may have been paid, and counts the money twice. `HOLD`
asks a person (`callsheet resolve`). Sources for what each class means: the provider's error bodies as recorded up to
2026-10, see callsheet/providers/outcomes.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from callsheet import errors
from callsheet.ledger.quota import LONGEST_PAUSE
from callsheet.providers.operations import TRANSIENT


class RetryDecision(StrEnum):
    """What happens to the job after a failed attempt; see MEANING."""

    RETRY = "retry"
    AGAIN = "again"
    PARK = "park"
    HOLD = "hold"
    BLOCK = "block"
    FAIL = "fail"


MEANING: dict[RetryDecision, str] = {
    RetryDecision.RETRY: "Tried again after a pause: the provider's hint, else 1, 2, 4 ... 60 s. Nothing was accepted.",
    RetryDecision.AGAIN: "Sent once more although it may have been charged; the money is counted twice.",
    RetryDecision.PARK: "Waits until midnight Pacific, as long as the provider asked, or for a person to mend "
    "the account. "
    "The run ends with exit code 4, or waits with `--wait` where it is known how long.",
    RetryDecision.HOLD: "Waits for a person: `callsheet resolve`. The money stays held. The run ends with exit code 5.",
    RetryDecision.BLOCK: "Final, with the provider's reason. The shot is blocked; the others go on.",
    RetryDecision.FAIL: "Final for this run, with the reason. What was not accepted is tried again by the next run.",
}


@dataclass(frozen=True, slots=True)
class RetryRule:
    """The verdicts for failures of class `error`, and how often a job may get them.

    One for pictures and looks, one for videos. `keeps`: the reply stays in the spool as it came, for it may have been
    paid for.
    """

    error: type[errors.ProviderError]
    image: RetryDecision
    video: RetryDecision
    times: int = 0
    keeps: bool = False


RULES: tuple[RetryRule, ...] = (
    RetryRule(errors.Unreachable, RetryDecision.RETRY, RetryDecision.RETRY, times=6),
    RetryRule(errors.Overloaded, RetryDecision.RETRY, RetryDecision.RETRY, times=8),
    RetryRule(errors.RouteClosed, RetryDecision.PARK, RetryDecision.PARK),
    RetryRule(errors.RateLimited, RetryDecision.RETRY, RetryDecision.RETRY, times=12),
    RetryRule(errors.WebPage, RetryDecision.FAIL, RetryDecision.FAIL, keeps=True),
    RetryRule(errors.Rejected, RetryDecision.FAIL, RetryDecision.FAIL),
    RetryRule(errors.VideoFiltered, RetryDecision.BLOCK, RetryDecision.BLOCK),
    RetryRule(errors.Blocked, RetryDecision.BLOCK, RetryDecision.BLOCK),
    RetryRule(errors.BadImage, RetryDecision.FAIL, RetryDecision.FAIL, keeps=True),
    RetryRule(errors.NoImage, RetryDecision.AGAIN, RetryDecision.FAIL, times=1, keeps=True),
    RetryRule(errors.PictureElsewhere, RetryDecision.HOLD, RetryDecision.HOLD, keeps=True),
    RetryRule(errors.Unknown, RetryDecision.AGAIN, RetryDecision.HOLD, times=1, keeps=True),
    RetryRule(errors.OperationCancelled, RetryDecision.FAIL, RetryDecision.FAIL, keeps=True),
    RetryRule(errors.ProviderError, RetryDecision.FAIL, RetryDecision.FAIL, keeps=True),
)

# Veo's audio filter removes harmless videos now and then; such a result is not charged and a second try often
# passes (googleapis/js-genai#1272, read 2026-11-21).
AUDIO_FILTER_TRIES = 1
# An operation that ended with a passing error (busy, internal) is not charged either (Veo bills for videos only).
OPERATION_TRIES = 2


def decide_retry(kind: Literal["image", "video", "look"], error: errors.ProviderError, earlier: int) -> RetryDecision:
    """Return the verdict on `error` after `earlier` uses of its rule for this job.

    A used-up RETRY fails (nothing was accepted, so the next run may try again); a used-up AGAIN holds what is
    unknown and fails the rest.
    """
    if isinstance(error, errors.RateLimited) and error.per == "day":
        return RetryDecision.PARK
    if isinstance(error, errors.NotAccepted) and (error.retry_after_s or 0.0) > LONGEST_PAUSE.total_seconds():
        return RetryDecision.PARK
    if isinstance(error, errors.VideoFiltered) and error.audio and earlier < AUDIO_FILTER_TRIES:
        return RetryDecision.RETRY
    free = isinstance(error, errors.OperationFailed) and error.reason in TRANSIENT and error.charged is False
    if free and earlier < OPERATION_TRIES:
        return RetryDecision.RETRY
    rule = rule_for(error)
    given = rule.video if kind == "video" else rule.image
    if given in (RetryDecision.RETRY, RetryDecision.AGAIN) and earlier >= rule.times:
        return RetryDecision.HOLD if isinstance(error, errors.Unknown) else RetryDecision.FAIL
    return given


def rule_for(error: errors.ProviderError) -> RetryRule:
    """Return the first rule whose class matches."""
    return next(rule for rule in RULES if isinstance(error, rule.error))


def backoff_s(error: errors.ProviderError, earlier: int, jitter: float) -> float:
    """Return the seconds to wait before a RETRY.

    The provider's hint, else 1, 2, 4 ... 60; `jitter` (0..1) spreads it by 25 %.
    """
    hint = getattr(error, "retry_after_s", None)
    base = float(hint) if hint is not None else min(60.0, 2.0**earlier)
    return base * (1.0 + 0.25 * jitter)
