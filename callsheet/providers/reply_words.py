"""Read what a reply says beside its pictures: texts, reasons, ratings and counts.

Pure functions of the reply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from callsheet import errors
from callsheet.providers.error_bodies import plain
from callsheet.providers.error_codes import HTTP_OF, name_code
from callsheet.providers.http_errors import Phase, from_reply
from callsheet.providers.reply_body import ReplyBody, read_body
from callsheet.providers.reply_spool import Reply

_PAGE_CLASS: dict[Phase, type[errors.ProviderError]] = {
    Phase.SUBMIT: errors.WebPage,
    Phase.POLL: errors.Unreachable,
    Phase.DOWNLOAD: errors.DownloadFailed,
}


def stated_error(
    body: ReplyBody, phase: Phase, what: str, *, retry_after: str | None = None
) -> errors.ProviderError | None:
    """Return the error that the body of a reply with status 200 states, or None.

    It is read as if the reply's status were that of the error.
    """
    if body.is_page:
        title = f' "{body.page_title}"' if body.page_title else ""
        message = (
            f"The {phase} of {what} was answered with a web page{title} instead of the provider's JSON: check the "
            "proxy, a sign-in that is asked for, and the base URL."
        )
        return _PAGE_CLASS[phase](message, reason="WEB_PAGE", status=200)
    stated = next(_find_errors(body), None)
    if stated is None:
        return None
    return from_reply(_read_status(stated), {"error": stated}, phase, what=what, retry_after=retry_after)


def error_body(reply: Reply) -> object:
    """Return what an error reply says: its JSON object, else its text."""
    body = read_body(reply)
    return body.first or body.text


def _find_errors(body: ReplyBody) -> Iterator[Mapping[str, object]]:
    """Yield the error objects of a reply.

    A text in place of one is its message; a bare one has code and message.
    """
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
    code = _read_number(document.get("code"))
    return code is not None and code >= 400 and "message" in document


def _read_status(error: Mapping[str, object]) -> int:
    """Return the HTTP status that an error object means.

    Its code, else its status by name, else 500.
    """
    code = _read_number(error.get("code"))
    if code is not None and 400 <= code < 600:
        return code
    names = (name_code(error.get(field)) for field in ("status", "code", "type"))
    return next((HTTP_OF[name] for name in names if name in HTTP_OF), 500)


def _read_number(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else None


MAX_TEXT_CHARS = 32 * 1024
MAX_RATINGS = 64
_DATA_URL = re.compile(r"!?\[[^\]]{0,500}\]\(\s*data:[^)\s]+\)|data:image/[\w.+-]{1,40}[^,\s]{0,100},[\w+/=%-]+")


class Said:
    """What a reply says beside its pictures, over all its documents.

    The documents of a stream belong together.
    """

    def __init__(self, body: ReplyBody) -> None:
        self.body = body
        self._parts = [inner for document in body.documents if (inner := _find_response(document)) is not None]

    def evidence(self, judged: Mapping[str, object]) -> str:
        """Return what Google's support needs about a refusal.

        The response's id, and the ratings that are not harmless.
        """
        ratings = map(mapping, sequence(either(judged, "safetyRatings")))
        rated = [
            f"{plain(str(one.get('category') or ''), 60)} {plain(str(one.get('probability') or 'blocked'), 20)}"
            for one in ratings
            if one.get("blocked") is True or one.get("probability") in ("MEDIUM", "HIGH")
        ]
        answered = plain(str(self.value("responseId") or ""), 100)
        parts = [*([f"response {answered}"] if answered else []), *(["rated " + ", ".join(rated[:8])] if rated else [])]
        return f" ({'; '.join(parts)})" if parts else ""

    def ratings(self) -> tuple[dict[str, str], ...]:
        """Return the safety ratings of prompt and answer, as words."""
        feedback = mapping(self.value("promptFeedback"))
        rated = [("prompt", feedback), *(("answer", one) for one in self.candidates())]
        found = [(of, one) for of, judged in rated for one in sequence(either(judged, "safetyRatings"))]
        return tuple({"of": of, **_read_rating(one)} for of, one in found[:MAX_RATINGS] if isinstance(one, Mapping))

    @property
    def is_reply(self) -> bool:
        """Return whether the body is empty, null or JSON, and so can be read."""
        return bool(self.body.documents) or not (self.body.text.strip("\ufeff \t\r\n\0") or self.body.data) or (
            self.body.text.strip() in ("null", "[]")
        )  # fmt: skip

    def value(self, camel: str) -> object:
        """Return the last value of a field of the response."""
        values = [found for part in self._parts if (found := either(part, camel)) is not None]
        return values[-1] if values else None

    def candidates(self) -> Iterator[Mapping[str, object]]:
        """Yield all candidates, in order.

        Of a stream the last that gives a reason comes first.
        """
        found = [mapping(one) for part in self._parts for one in sequence(either(part, "candidates"))]
        return iter(sorted(found, key=lambda one: not either(one, "finishReason")))

    def texts(self) -> Iterator[str]:
        """Yield the texts of the answer, without its thoughts."""
        for response in self._parts:
            for candidate in map(mapping, sequence(either(response, "candidates"))):
                for part in map(mapping, sequence(mapping(candidate.get("content")).get("parts"))):
                    text = part.get("text")
                    if isinstance(text, str) and part.get("thought") not in (True, "true"):
                        yield text

    def text(self) -> str:
        """Return the answer's text as it came, without pictures and control characters."""
        joined = "\n".join(filter(str.strip, self.texts()))
        text = _DATA_URL.sub("[picture]", joined)[:MAX_TEXT_CHARS]
        return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text).strip()

    def tokens(self) -> dict[str, int]:
        """Return the token counts as reported.

        `input_text`, `output_image` ... by modality (a side without them: `input`), `thoughts` and `total`.
        """
        usage = mapping(self.value("usageMetadata"))
        counts: dict[str, int] = {}
        for side, name in (("input", "promptTokensDetails"), ("output", "candidatesTokensDetails")):
            for detail in map(mapping, sequence(either(usage, name))):
                modality = plain(str(detail.get("modality") or "unknown"), 40).lower()
                of_it = count(either(detail, "tokenCount")) or 0
                counts[f"{side}_{modality}"] = counts.get(f"{side}_{modality}", 0) + of_it
        totals = {"thoughts": "thoughtsTokenCount", "total": "totalTokenCount"}
        sums = (("input", "promptTokenCount"), ("output", "candidatesTokenCount"))
        told = {name.partition("_")[0] for name, tokens in counts.items() if tokens}
        totals |= {side: field for side, field in sums if side not in told}
        return counts | {name: more for name, field in totals.items() if (more := count(either(usage, field)))}


def _read_rating(rating: Mapping[str, object]) -> dict[str, str]:
    """Return what a rating says, without what is nested in it."""
    told = [(name, value) for name, value in rating.items() if isinstance(value, str | int | float)]
    return {plain(str(name), 60): plain(str(value), 100) for name, value in told[:12]}


def _find_response(document: object, depth: int = 0) -> Mapping[str, object] | None:
    """Return the response in a document, None when there is none.

    The document itself, or what gateways wrap (`response`, `data`, `result`, a list).
    """
    if isinstance(document, list) and depth < 4:
        return next((found for one in document if (found := _find_response(one, depth + 1)) is not None), None)
    if not isinstance(document, Mapping):
        return None
    if any(either(document, name) is not None for name in ("candidates", "promptFeedback", "usageMetadata")):
        return document
    inner = (document.get(name) for name in ("response", "data", "result", "body")) if depth < 4 else ()
    return next((found for one in inner if (found := _find_response(one, depth + 1)) is not None), None)


def either(value: Mapping[str, object], camel: str) -> object:
    """Return the field in camelCase or snake_case: gateways send both."""
    found = value.get(camel)
    return found if found is not None else value.get(re.sub(r"([A-Z])", r"_\1", camel).lower())


def mapping(value: object) -> Mapping[str, object]:
    """Return the mapping, an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: object) -> Sequence[object]:
    """Return the list; a single mapping counts as a list of one."""
    return value if isinstance(value, list) else [value] if isinstance(value, Mapping) else ()


def count(value: object) -> int | None:
    """Return a count given as a number or as a text, None for anything else.

    Protocol buffers send 64 bits as text.
    """
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None
