"""What becomes of a request, from the marker in its prompt or the rule that a failure script plays."""

from __future__ import annotations

import re
from dataclasses import dataclass

from callsheet.rehearsal.faults import Rule

# `[[block:SAFETY]]` and the like, anywhere in a prompt.
_MARKER = re.compile(r"\[\[([a-z-]{1,20})(?::([A-Za-z0-9_]{1,40}))?\]\]")
_IMAGE = frozenset(("block", "finish", "text-only", "no-image", "empty"))
_VIDEO = frozenset(("rai", "rai-audio", "empty", "op-error"))
_DEFAULT_REASON = {"block": "SAFETY", "finish": "IMAGE_SAFETY", "no-image": "NO_IMAGE", "rai": "17301594"}
RAI_AUDIO = (
    "Veo could not generate a video because of an issue with the audio it would have. You have not been charged for "
    "this attempt. Try a different prompt."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`made` is the asset itself; the others are named as in failure scripts. `reason` is the provider's code."""

    name: str = "made"
    reason: str = ""

    @property
    def charged(self) -> bool:
        """Whether the provider bills the price of the asset; of a text-only reply it bills the words."""
        return self.name == "made"


def image_outcome(prompt: str, rule: Rule | None) -> Outcome:
    """What an accepted request for a picture gives."""
    return _outcome(prompt, rule, _IMAGE)


def video_outcome(prompt: str, rule: Rule | None) -> Outcome:
    """What an accepted request for a video gives in the end."""
    return _outcome(prompt, rule, _VIDEO)


def rai_message(reason: str) -> str:
    """The text of Veo's filter with a support code."""
    return (
        "We encountered an issue with the prompt you provided: it could not be used to generate a video because it "
        "may violate the usage guidelines. If you think this was an error, send feedback. "
        f"Support codes: {reason}"
    )


def _outcome(prompt: str, rule: Rule | None, known: frozenset[str]) -> Outcome:
    if rule is not None and rule.fault in known:
        return Outcome(rule.fault, rule.reason or _DEFAULT_REASON.get(rule.fault, ""))
    for name, reason in _MARKER.findall(prompt):
        if name in known:
            return Outcome(name, reason or _DEFAULT_REASON.get(name, ""))
    return Outcome()
