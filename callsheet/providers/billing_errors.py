"""Refusals that only a person can end: no credits, a spending cap, billing that is off, a limit of 0.

They come as 429, 402, 403 or 400 FAILED_PRECONDITION, most often in the same shape as a quota that is full for a
minute, so the text has to tell them apart. Texts as recorded by others until 2026-11; see ai.google.dev/gemini-api/docs
(billing, rate-limits, troubleshooting).
"""

from __future__ import annotations

import re

from callsheet.errors import RouteClosed
from callsheet.providers.error_bodies import ErrorBody

SPEND_PAGE = "https://ai.studio/spend"
LIMITS_PAGE = "https://aistudio.google.com/usage"
# An ordinary 429 says "check your plan and billing details": the word billing alone tells nothing.
_TEXT = re.compile(
    r"(pre-?pa(id|yment)|\bcredits?\b)[^.]{0,60}(deplet|exhaust|used up|run out|insufficient|expired)"
    r"|(insufficient|no|not enough|out of)\s+(prepaid\s+)?(credits?\b|balance|funds)"
    r"|spend(ing)?[ -](cap|limit)s?\b"
    r"|billing[^.]{0,60}(disabled|not (been )?(enabled|active|set up)|inactive|suspended|closed|past due|to be enabled)"
    r"|(requires?|enable|set up|activate)\s+(a\s+|an\s+active\s+)?(cloud )?billing\b",
    re.IGNORECASE,
)
_REASONS = frozenset({"BILLING_DISABLED", "BILLING_STATE_INVALID", "BILLING_NOT_ENABLED"})
_WINDOW = re.compile(r"(minute|hour|day)s?\b|rate", re.IGNORECASE)
# Links are told only when they lead to Google: whoever answered may be a stranger.
_LINK = re.compile(
    r"https://(?:[a-z0-9-]+\.)*(?:google\.com|google\.dev|ai\.studio|goo\.gle)(?:/[^\s\"'<>)]*)?", re.IGNORECASE
)
_BARE_LINK = re.compile(r"(?<![\w./])(ai\.studio/[\w/-]+)", re.IGNORECASE)


def speaks_of_billing(body: ErrorBody) -> bool:
    """Tell whether the provider refuses because of credits, a spending cap or billing."""
    if body.reason in _REASONS:
        return True
    found = _TEXT.search(body.message)
    return found is not None and not ("spend" in found.group().lower() and _is_rate(body.message))


def route_closed(body: ErrorBody, message: str, status: int, *, model_only: bool = False) -> RouteClosed:
    """Make the error for such a refusal; its text ends with the page on which it can be mended."""
    link = _link(body) or (LIMITS_PAGE if model_only else SPEND_PAGE)
    why = "The limit of this model is 0 for the project" if model_only else "The account takes no more requests"
    told = f"{message.rstrip()} {why}: nothing more is sent and nothing was charged. See {link}"
    error = RouteClosed(told, reason=body.reason, status=status)
    error.model_only, error.link = model_only, link
    return error


def _is_rate(message: str) -> bool:
    """A limit of what may be spent in ten minutes ends by itself; a cap of the month does not."""
    return bool(_WINDOW.search(message)) and not re.search(r"month|\bcap\b", message, re.IGNORECASE)


def _link(body: ErrorBody) -> str:
    for detail in body.details:
        links = detail.get("links")
        for link in links if isinstance(links, list) else ():
            url = link.get("url") if isinstance(link, dict) else None
            if isinstance(url, str) and (found := _LINK.fullmatch(url[:300])):
                return found.group()
    if found := _LINK.search(body.message):
        return found.group().rstrip(".,;:")
    bare = _BARE_LINK.search(body.message)
    return f"https://{bare.group(1)}" if bare else ""
