"""Errors that come with HTTP status 200: an error object, or the web page of a proxy. For every kind of request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from callsheet import errors
from callsheet.providers.http_errors import Phase, from_reply
from callsheet.providers.reply_body import ReplyBody, read_body
from callsheet.replies import Reply

# google.rpc.Code by name, as HTTP status: https://cloud.google.com/apis/design/errors (read 2026-11).
_HTTP_OF = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403, "NOT_FOUND": 404, "ABORTED": 409, "ALREADY_EXISTS": 409, "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499, "INTERNAL": 500, "DATA_LOSS": 500, "UNKNOWN": 500, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}  # fmt: skip
_PAGE_CLASS: dict[Phase, type[errors.ProviderError]] = {
    Phase.SUBMIT: errors.WebPage,
    Phase.POLL: errors.Unreachable,
    Phase.DOWNLOAD: errors.DownloadFailed,
}


def stated_error(
    body: ReplyBody, phase: Phase, what: str, *, retry_after: str | None = None
) -> errors.ProviderError | None:
    """The error that the body of a reply with status 200 states, read as if its status were that; None for none."""
    if body.is_page:
        title = f' "{body.page_title}"' if body.page_title else ""
        message = (
            f"The {phase} of {what} was answered with a web page{title} instead of the provider's JSON: check the "
            "proxy, a sign-in that is asked for, and the base URL."
        )
        return _PAGE_CLASS[phase](message, reason="WEB_PAGE", status=200)
    stated = next(_errors(body), None)
    if stated is None:
        return None
    return from_reply(_status(stated), {"error": stated}, phase, what=what, retry_after=retry_after)


def error_body(reply: Reply) -> object:
    """What an error reply says: its JSON object, else its text."""
    body = read_body(reply)
    return body.first or body.text


def _errors(body: ReplyBody) -> Iterator[Mapping[str, object]]:
    """The error objects of a reply. A text in place of one is its message; a bare one has code and message."""
    for document in islice(body.documents, 100):
        if not isinstance(document, Mapping) or "candidates" in document:
            continue
        error = document.get("error")
        if isinstance(error, Mapping) and error:
            yield error
        elif isinstance(error, str) and error:
            yield {"message": str(document.get("message") or error), "code": document.get("code")}
        elif _is_bare(document):
            yield document


def _is_bare(document: Mapping[str, object]) -> bool:
    code = _number(document.get("code"))
    return code is not None and code >= 400 and "message" in document


def _status(error: Mapping[str, object]) -> int:
    """The HTTP status that an error object means: its code, else its status by name, else 500."""
    code = _number(error.get("code"))
    if code is not None and 400 <= code < 600:
        return code
    names = (str(error.get(field) or "").upper().replace(" ", "_") for field in ("status", "code", "type"))
    return next((_HTTP_OF[name] for name in names if name in _HTTP_OF), 500)


def _number(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else None
