"""What a failed HTTP exchange means for a job.

One table for replies, one for exchanges without a reply. The question is always: may the request have been accepted? A
submission that may have been is `Unknown` and is never sent again without a decision. Polls and downloads are free, so
their failures are errors after which trying again is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from callsheet import errors
from callsheet.errors import RouteClosed
from callsheet.providers.error_bodies import (
    ErrorBody,
    has_limit_of_none,
    plain,
    rate_limited,
    read_error,
    retry_after_s,
)

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
    """Return whether credits, a spending cap or billing is the reason of the refusal."""
    if body.reason in _REASONS:
        return True
    found = _TEXT.search(body.message)
    return found is not None and not ("spend" in found.group().lower() and _is_rate(body.message))


def route_closed(body: ErrorBody, message: str, status: int, *, model_only: bool = False) -> RouteClosed:
    """Return the error for such a refusal; it ends with the page to mend it on."""
    link = _find_link(body) or (LIMITS_PAGE if model_only else SPEND_PAGE)
    why = "The limit of this model is 0 for the project" if model_only else "The account takes no more requests"
    told = f"{message.rstrip()} {why}: nothing more is sent and nothing was charged. See {link}"
    error = RouteClosed(told, reason=body.reason, status=status)
    error.model_only, error.link = model_only, link
    return error


def _is_rate(message: str) -> bool:
    """Return whether the limit is what may be spent in ten minutes.

    That one ends by itself; a cap of the month does not.
    """
    return bool(_WINDOW.search(message)) and not re.search(r"month|\bcap\b", message, re.IGNORECASE)


def _find_link(body: ErrorBody) -> str:
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


ErrorClass = type[errors.ProviderError]


class Phase(StrEnum):
    """The kind of exchange that failed: only a submission costs money."""

    SUBMIT = "submission"
    POLL = "poll"
    DOWNLOAD = "download"


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """The error class, in each phase, of replies with a status for which `when` holds."""

    statuses: Iterable[int]
    when: Callable[[ErrorBody], bool]
    submit: ErrorClass
    poll: ErrorClass
    download: ErrorClass
    advice: str

    def error(self, phase: Phase) -> ErrorClass:
        """Return the error class of this rule in `phase`."""
        return {Phase.SUBMIT: self.submit, Phase.POLL: self.poll, Phase.DOWNLOAD: self.download}[phase]


def _is_any(_: ErrorBody) -> bool:
    """Match any reply."""
    return True


def _is_bad_key(body: ErrorBody) -> bool:
    """Match a key that is not valid."""
    return body.reason.startswith("API_KEY_") or "api key not valid" in body.message.lower()


def _is_old_kind_of_key(body: ErrorBody) -> bool:
    """Match a key that Google takes no more, or takes for a token."""
    return "ACCESS_TOKEN_TYPE_UNSUPPORTED" in (body.reason, body.status) or "access_token_type" in body.message.lower()


def _is_too_large(body: ErrorBody) -> bool:
    """Match a request that is too large."""
    return "payload size exceeds" in body.message.lower()


def _is_billing(body: ErrorBody) -> bool:
    """Match used-up credits, a spending cap, or billing that is off."""
    return speaks_of_billing(body)


def _is_none_allowed(body: ErrorBody) -> bool:
    """Match a limit of 0."""
    return has_limit_of_none(body)


def _is_precondition(body: ErrorBody) -> bool:
    """Match FAILED_PRECONDITION: a region that is not served, for example."""
    return body.status == "FAILED_PRECONDITION"


def _is_policy(body: ErrorBody) -> bool:
    """Match a message about safety or policy."""
    return body.against_policy


def _is_cut_off(body: ErrorBody) -> bool:
    """Match a deadline or lost backend of a request that had been passed on."""
    return any(word in body.message.lower() for word in ("deadline", "reset", "disconnect"))


def _is_from_elsewhere(body: ErrorBody) -> bool:
    """Match an error that is not Google's own: the page of a proxy or gateway."""
    return not body.genuine


_KEY = "Check the key; nothing was charged."
# AIza keys without restriction are rejected since 2026-06-19 (Google's page on API keys).
_KIND = "Google does not take this kind of key any more: make a new one in AI Studio (it begins with AQ.)."
_ACCESS = "Check key, permissions and billing of the project; nothing was charged."
_FUNDS = ""
_GONE = "Operations and videos are kept for two days, and shown only to the project that submitted them."
_MAYBE = "It may have been accepted and charged; see `callsheet resolve`."
_FREE = "Nothing was accepted; it is tried again."
_SAME = "The same request will fail again: change it."
_BASE = "Check the model id and the base URL; nothing was charged."
_AGAIN = "The video is not lost; it costs nothing to try again."
_SIZE = "Use fewer or smaller reference images; nothing was charged."

E = errors
# Sources: error bodies recorded by others until 2026-10 and Google's API documents; AIP-193 for the shapes.
# A bad key is 400, not 401; a body that is too large is mostly 400; the front end answers 413.
RULES: tuple[ErrorRule, ...] = (
    #    statuses              when             submission         poll                download            advice
    ErrorRule({400, 403}, _is_bad_key, E.Unauthorised, E.Unauthorised, E.Unauthorised, _KEY),
    ErrorRule({400, 413}, _is_too_large, E.RequestTooLarge, E.Rejected, E.DownloadFailed, _SIZE),
    # The account pays for nothing more. What is submitted already is still looked for.
    ErrorRule({400, 403, 429}, _is_billing, E.RouteClosed, E.RouteClosed, E.DownloadFailed, _FUNDS),
    ErrorRule({402}, _is_any, E.RouteClosed, E.RouteClosed, E.DownloadFailed, _FUNDS),
    ErrorRule({429}, _is_none_allowed, E.RouteClosed, E.RateLimited, E.DownloadFailed, _FUNDS),
    ErrorRule({400}, _is_precondition, E.Unauthorised, E.Unauthorised, E.DownloadFailed, _ACCESS),
    ErrorRule(
        {400}, _is_policy, E.PromptBlocked, E.Rejected, E.DownloadFailed, "Change the prompt; nothing was charged."
    ),
    ErrorRule({401}, _is_old_kind_of_key, E.Unauthorised, E.Unauthorised, E.Unauthorised, _KIND),
    ErrorRule({401}, _is_any, E.Unauthorised, E.Unauthorised, E.Unauthorised, _ACCESS),
    # What is not Google's own (a proxy's page) must not declare a paid operation or its video dead.
    ErrorRule({403}, _is_from_elsewhere, E.Unauthorised, E.Unreachable, E.DownloadFailed, _ACCESS),
    ErrorRule({404, 410}, _is_from_elsewhere, E.ModelNotFound, E.Unreachable, E.DownloadFailed, _BASE),
    ErrorRule({403}, _is_any, E.Unauthorised, E.Unauthorised, E.OperationExpired, _ACCESS),
    ErrorRule({404, 410}, _is_any, E.ModelNotFound, E.OperationExpired, E.OperationExpired, _BASE),
    ErrorRule({413}, _is_any, E.RequestTooLarge, E.Rejected, E.DownloadFailed, _SIZE),
    ErrorRule({429}, _is_any, E.RateLimited, E.RateLimited, E.DownloadFailed, _FREE),
    ErrorRule({408, 499}, _is_any, E.Unknown, E.Unreachable, E.DownloadFailed, _MAYBE),
    ErrorRule(range(400, 500), _is_any, E.Rejected, E.Rejected, E.DownloadFailed, _SAME),
    # Redirects of paid requests are not followed: the key and the request would go to another place, perhaps twice.
    ErrorRule({301, 302, 307, 308}, _is_any, E.Rejected, E.Unreachable, E.DownloadFailed, "Correct the base URL."),
    ErrorRule({503}, _is_cut_off, E.Unknown, E.Overloaded, E.DownloadFailed, _MAYBE),
    ErrorRule({503}, _is_any, E.Overloaded, E.Overloaded, E.DownloadFailed, _FREE),
    ErrorRule(range(1000), _is_any, E.Unknown, E.Overloaded, E.DownloadFailed, _MAYBE),
)

#                         not sent           sent (or perhaps sent)
WITHOUT_REPLY: dict[Phase, tuple[ErrorClass, ErrorClass]] = {
    Phase.SUBMIT: (errors.Unreachable, errors.Unknown),
    Phase.POLL: (errors.Unreachable, errors.Unreachable),
    Phase.DOWNLOAD: (errors.DownloadFailed, errors.DownloadFailed),
}

_NO_REPLY_ADVICE: dict[ErrorClass, str] = {errors.Unknown: _MAYBE, errors.Unreachable: "Trying again is free."}

# Exceptions of httpx2, aiohttp and the standard library that arise before the first byte of a request is written.
NEVER_SENT = frozenset(
    {
        "ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "InvalidURL",
        "ClientConnectorError", "ConnectionTimeoutError", "ConnectionRefusedError", "gaierror",
    }
)  # fmt: skip


def from_reply(
    status: int,
    body: object,
    phase: Phase,
    *,
    what: str,
    retry_after: str | None = None,
) -> errors.ProviderError:
    """Return the error for a reply that is not a success.

    `what` names the request ("picture by m", for example).
    """
    read = read_error(body)
    rule = next(rule for rule in RULES if status in rule.statuses and rule.when(read))
    cls = rule.error(phase)
    said = f"{status} {read.reason}".strip() + (f": {read.message}" if read.message else "")
    message = f"The {phase} of {what} was answered with {said.rstrip('.')}. {_choose_advice(rule, phase, cls)}"
    if cls is errors.RouteClosed and phase is Phase.SUBMIT:
        return route_closed(read, message, status, model_only=rule.when is _is_none_allowed)
    if cls is errors.RateLimited:
        return rate_limited(read, message, status=status, retry_after=retry_after)
    if cls is errors.Overloaded and phase is Phase.SUBMIT:
        hint_s = retry_after_s(read, retry_after)
        return errors.Overloaded(message, reason=read.reason, status=status, retry_after_s=hint_s)
    return cls(message, reason=read.reason, status=status)


def without_reply(
    error: BaseException,
    phase: Phase,
    *,
    what: str,
    sent: bool | None = None,
    status: int | None = None,
) -> errors.ProviderError:
    """Return the error for an exchange that ended without a readable reply.

    It ended in a transport exception, or its reply cannot be read. `sent` is whether the request's first byte was
    written, as observed on the connection; None when nobody observed it: then only exceptions that cannot arise later
    count as not sent.
    """
    was_sent = not never_sent(error) if sent is None else sent
    cls = WITHOUT_REPLY[phase][was_sent]
    happened = "got no usable reply" if was_sent else "found no connection"
    message = f"The {phase} of {what} {happened}: {describe_exception(error)}. {_NO_REPLY_ADVICE.get(cls, _AGAIN)}"
    return cls(message, reason=type(error).__name__, status=status)


def never_sent(error: BaseException) -> bool:
    """Return whether this exception can only arise before anything was sent."""
    return any(cls.__name__ in NEVER_SENT for cls in type(error).__mro__)


def describe_exception(error: BaseException) -> str:
    """Return an exception as one bounded line, its class first."""
    text = plain(str(error), 300).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _choose_advice(rule: ErrorRule, phase: Phase, cls: ErrorClass) -> str:
    if phase is Phase.SUBMIT or cls is errors.Unauthorised:
        return rule.advice
    if cls is errors.OperationExpired:
        return _GONE
    return _AGAIN
