"""Codes of errors: numbers of google.rpc, their names, and others' words for them."""

from __future__ import annotations

import re

# google.rpc.Code: the numbers that an operation's error carries.
RPC_CODES = {
    1: "CANCELLED", 2: "UNKNOWN", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED", 5: "NOT_FOUND", 6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED", 8: "RESOURCE_EXHAUSTED", 9: "FAILED_PRECONDITION", 10: "ABORTED", 11: "OUT_OF_RANGE",
    12: "UNIMPLEMENTED", 13: "INTERNAL", 14: "UNAVAILABLE", 15: "DATA_LOSS", 16: "UNAUTHENTICATED",
}  # fmt: skip
# google.rpc.Code by name, as HTTP status: https://cloud.google.com/apis/design/errors (read 2026-11).
HTTP_OF = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403, "NOT_FOUND": 404, "ABORTED": 409, "ALREADY_EXISTS": 409, "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499, "INTERNAL": 500, "DATA_LOSS": 500, "UNKNOWN": 500, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}  # fmt: skip
# What those that give numbers of HTTP mean by them: the first name of each.
_NAME_OF_HTTP = {number: name for name, number in reversed(HTTP_OF.items())}
# Errors of interactions have words or URIs for codes (google-genai 3.6.1, 2026-11-30), gateways words of their own.
_ALIASES = {
    "RESOURCE_EXHAUSTED": "RATE_LIMIT RATE_LIMITED RATE_LIMIT_EXCEEDED RATE_LIMIT_ERROR QUOTA_EXCEEDED "
    "TOO_MANY_REQUESTS INSUFFICIENT_QUOTA",
    "INVALID_ARGUMENT": "INVALID_REQUEST INVALID_REQUEST_ERROR BAD_REQUEST INVALID_INPUT VALIDATION_ERROR",
    "INTERNAL": "INTERNAL_ERROR INTERNAL_SERVER_ERROR SERVER_ERROR API_ERROR GENERATION_FAILED",
    "UNAVAILABLE": "OVERLOADED OVERLOADED_ERROR MODEL_OVERLOADED SERVICE_UNAVAILABLE",
    "DEADLINE_EXCEEDED": "TIMEOUT GATEWAY_TIMEOUT REQUEST_TIMEOUT TIMED_OUT",
    "UNAUTHENTICATED": "UNAUTHORIZED AUTHENTICATION_ERROR INVALID_API_KEY",
    "PERMISSION_DENIED": "FORBIDDEN PERMISSION_ERROR",
    "NOT_FOUND": "NOT_FOUND_ERROR MODEL_NOT_FOUND",
    "CANCELLED": "CANCELED",
}
_NAME_OF = {alias: name for name, aliases in _ALIASES.items() for alias in aliases.split()}
MAX_CODE_CHARS = 200


def name_code(code: object) -> str:
    """Return the name of an error's code, "" for none.

    The number of google.rpc or HTTP, or a word, which may end a URI; an unknown number as it is.
    """
    if isinstance(code, bool) or not isinstance(code, int | str):
        return ""
    text = str(code)[:MAX_CODE_CHARS].strip()
    if text.isascii() and text.isdigit():
        number = int(text)
        return RPC_CODES.get(number) or _NAME_OF_HTTP.get(number) or (text if len(text) < 6 else "")
    word = re.split(r"[/#:]", text.rstrip("/#:"))[-1]
    name = re.sub(r"[^A-Z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).upper()).strip("_")
    return _NAME_OF.get(name, name)
