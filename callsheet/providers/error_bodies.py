"""What the body of an error reply says: Google's JSON, a JSON array of it, HTML of a front end, or nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MAX_MESSAGE_CHARS = 500
_CODE = re.compile(r"(script|style)\b", re.IGNORECASE)
# Texts of refusals for policy, collected from public reports of Veo and Imagen until 2026-11.
_POLICY = re.compile(
    r"support codes?:\s*\d|responsible ai|usage guidelines|sensitive words|safety (filter|reason|polic)"
    r"|violat\w{0,12}[^.]{0,80}(polic|guideline|practice)|blocked[^.]{0,40}(safety|policy)",
    re.IGNORECASE,
)
_SUPPORT_CODES = re.compile(r"support codes?:\s*(\d+(?:\s*,\s*\d+)*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """An error reply, read. `genuine` tells Google's own JSON from whatever a proxy or gateway may have said."""

    message: str = ""
    status: str = ""
    details: tuple[Mapping[str, object], ...] = field(default=())
    genuine: bool = False

    @property
    def reason(self) -> str:
        """The most telling code: ErrorInfo's reason, else the status."""
        reasons = (str(detail["reason"]) for detail in self.details if isinstance(detail.get("reason"), str))
        return next(reasons, self.status)

    @property
    def against_policy(self) -> bool:
        """Whether the message speaks of a refusal for safety or policy."""
        return speaks_of_policy(self.message)


def read_error(body: object) -> ErrorBody:
    """Read an error reply of any form; never raises."""
    if isinstance(body, bytes):
        body = body[: 1 << 20].decode("utf-8", "replace")
    if isinstance(body, str):
        body = _json_or_text(body)
    if isinstance(body, list):
        body = body[0] if body else ""
    if not isinstance(body, Mapping):
        return ErrorBody(message=plain(str(body or "")))
    error = body.get("error")
    genuine = isinstance(error, Mapping)
    inner = error if isinstance(error, Mapping) else body
    details = inner.get("details")
    return ErrorBody(
        message=plain(str(inner.get("message") or (error if isinstance(error, str) else ""))),
        status=str(inner.get("status") or "")[:100],
        details=tuple(d for d in details if isinstance(d, Mapping)) if isinstance(details, list) else (),
        genuine=genuine,
    )


def speaks_of_policy(message: str) -> bool:
    """Whether a provider's message says that the request was refused for safety or policy."""
    return bool(_POLICY.search(message))


def support_codes(message: str) -> str:
    """The support codes in a refusal ("17301594,56562880"), or ""."""
    found = (code.strip() for match in _SUPPORT_CODES.finditer(message) for code in match.group(1).split(","))
    return ",".join(dict.fromkeys(found))


def plain(text: str, limit: int = MAX_MESSAGE_CHARS) -> str:
    """Untrusted text as one bounded line: no tags, no control characters."""
    flat = without_tags(text[: 40 * limit])
    flat = " ".join("".join(c if c.isprintable() else " " for c in flat).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def without_tags(text: str) -> str:
    """Return the text of HTML, each tag and all of a script or style as a space; looks at no character twice."""
    return "".join(_pieces(text))


def _pieces(text: str) -> Iterator[str]:
    at, ends = 0, _Ends(text)
    while (start := text.find("<", at)) >= 0 and (end := text.find(">", start)) >= 0:
        yield text[at:start]
        yield " "
        code = _CODE.match(text, start + 1, end)
        at = (ends.after(code.group().lower(), end) if code else 0) or end + 1
    yield text[at:]


class _Ends:
    """Where scripts and styles end; what was not found once is not looked for again."""

    def __init__(self, text: str) -> None:
        self._folded = text.lower() if text.isascii() else "".join(c.lower() if c.isascii() else c for c in text)
        self._none: set[str] = set()

    def after(self, name: str, start: int) -> int:
        """The place behind the closing tag that follows `start`; 0 when there is none."""
        closing = f"</{name}>"
        found = -1 if name in self._none else self._folded.find(closing, start)
        if found < 0:
            self._none.add(name)
            return 0
        return found + len(closing)


def _json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
