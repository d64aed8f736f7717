"""What a reply says: the pictures or the answer in it, or the class of their absence. Pure functions of the reply.

What lies in a reply counts before what is said about it: a whole picture is taken wherever it lies and whatever the
finish reason, for it is paid for. Reasons as listed by google-genai 3.4.0 (2026-11); unknown values are accepted and
judged by their words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from callsheet.errors import (
    BadImage,
    ImageBlocked,
    MediaError,
    NoAnswer,
    NoImage,
    PromptBlocked,
    ProviderError,
    Unknown,
)
from callsheet.media.probe import ImageProbe, probe_image
from callsheet.providers.error_bodies import plain
from callsheet.providers.http_errors import Phase, from_reply
from callsheet.providers.protocol import ImageResult, LookResult, Picture
from callsheet.providers.reply_body import ReplyBody, read_body
from callsheet.providers.reply_errors import error_body, stated_error
from callsheet.providers.reply_pictures import Found, find_pictures
from callsheet.replies import Reply

# The largest picture measured was 21 MB (4K PNG, 2026-09-20).
MAX_IMAGE_BYTES = 64 * 1024 * 1024
MAX_ANSWER = 16 * 1024
MAX_TEXT_CHARS = 32 * 1024
# Refusals; every other reason without a picture is technical, and another try may give one.
BLOCKING = frozenset(
    {
        "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION", "MODEL_ARMOR", "ESCALATION", "PUP_LIMITED_DISABLED",
    }
)  # fmt: skip
_BLOCKING_WORDS = ("SAFETY", "PROHIBITED", "BLOCK", "POLICY", "RECITATION")
_UNSPECIFIED = ("", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED")
_DATA_URL = re.compile(r"!?\[[^\]]{0,500}\]\(\s*data:[^)\s]+\)|data:image/[\w.+-]{1,40}[^,\s]{0,100},[\w+/=%-]+")


def read_picture(reply: Reply, what: str = "a picture") -> ImageResult:
    """The picture of a reply as it came, whatever its status; see `image_result`. A kept reply reads the same."""
    try:
        return image_result(read_body(reply), what, retry_after=reply.headers.get("retry-after"))
    except BadImage:
        raise
    except ProviderError as error:
        raise _by_status(reply, what, error) from None


def read_look(reply: Reply, what: str = "a look") -> LookResult:
    """The answer of a reply as it came; see `look_result`."""
    try:
        return look_result(read_body(reply), what, retry_after=reply.headers.get("retry-after"))
    except ProviderError as error:
        raise _by_status(reply, what, error) from None


def _by_status(reply: Reply, what: str, error: ProviderError) -> ProviderError:
    """What a reply without a result means: its HTTP status first, else what it says."""
    if reply.status == 200:
        return error
    retry_after = reply.headers.get("retry-after")
    told = from_reply(reply.status, error_body(reply), Phase.SUBMIT, what=what, retry_after=retry_after)
    told.tokens = error.tokens
    return told


def image_result(body: ReplyBody, what: str = "a picture", *, retry_after: str | None = None) -> ImageResult:
    """The picture of a reply: the last whole one of the answer, else of anywhere, else of its thoughts.

    The other whole ones come with it. BadImage when only parts of pictures came, or the address of one; else the error
    that the reply states, PromptBlocked, ImageBlocked, NoImage, or Unknown when nothing can be read. Every error has
    the tokens that the reply tells.
    """
    found = find_pictures(body)
    whole, damage = _whole(found.pictures)
    said = _Said(body)
    if not whole:
        error = _damaged(damage, body) if found.pictures else None
        error = error or stated_error(body, Phase.SUBMIT, what, retry_after=retry_after)
        error = error or (_elsewhere(found.addresses) if found.addresses else _absence(said))
        error.tokens = said.tokens()
        raise error
    final = whole[-1][1]
    others = {one.data: one for _, one in whole if one.data != final.data}
    return ImageResult(
        data=final.data,
        mime_type=final.mime_type,
        model_version=plain(str(said.value("modelVersion") or ""), 200),
        response_id=plain(str(said.value("responseId") or ""), 200),
        tokens=said.tokens(),
        text=said.text(),
        others=tuple(others.values()),
        is_thought=final.is_thought,
    )


def look_result(body: ReplyBody, what: str = "a look", *, retry_after: str | None = None) -> LookResult:
    """The text of a reply; the error that it states, PromptBlocked, ImageBlocked or NoAnswer when there is none."""
    said = _Said(body)
    text = "".join(said.texts())[:MAX_ANSWER]
    if not text.strip():
        error = stated_error(body, Phase.SUBMIT, what, retry_after=retry_after) or _absence(said)
        if isinstance(error, NoImage):
            error = NoAnswer("The reply has no text. What was sent is billed.", reason=error.reason)
        raise error
    usage = _mapping(said.value("usageMetadata"))
    prompt, candidates, thoughts = (
        _count(_either(usage, name)) for name in ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    )
    return LookResult(
        text=text,
        input_tokens=prompt if usage else None,
        output_tokens=(candidates or 0) + (thoughts or 0) if usage else None,
        model_version=plain(str(said.value("modelVersion") or ""), 200),
        response_id=plain(str(said.value("responseId") or ""), 200),
    )


def is_refusal(reason: str) -> bool:
    """Whether a finish reason is a refusal for safety or policy rather than a technical end."""
    return reason in BLOCKING or any(word in reason for word in _BLOCKING_WORDS)


def _whole(pictures: Sequence[Found]) -> tuple[list[tuple[tuple[bool, bool], Picture]], str]:
    """The whole pictures, the one to take last, and what is wrong with the last of the others."""
    whole: list[tuple[tuple[bool, bool], Picture]] = []
    damage = ""
    for one in pictures:
        try:
            probe = _probe(one)
        except MediaError as error:
            damage = str(error)
            continue
        picture = Picture(one.data, probe.mime_type, probe.width, probe.height, one.is_thought)
        whole.append(((not one.is_thought, one.is_answer), picture))
    return sorted(whole, key=lambda ranked: ranked[0]), damage


def _probe(one: Found) -> ImageProbe:
    if len(one.data) > MAX_IMAGE_BYTES:
        raise MediaError(f"a picture of {len(one.data)} bytes; the most taken is {MAX_IMAGE_BYTES}.")
    return probe_image(one.data)


def _damaged(damage: str, body: ReplyBody) -> ProviderError:
    cut = " The reply was cut off." if body.is_cut else ""
    return BadImage(
        f"The reply holds bytes of a picture, but no whole one: {damage}{cut} It is not asked for again by itself, "
        "for it may be charged: `callsheet resolve --resubmit` asks again.",
        reason="BAD_IMAGE",
    )


def _elsewhere(addresses: Sequence[str]) -> ProviderError:
    return BadImage(
        f"The reply names its picture by an address that is not followed: {plain(addresses[0], 300)}. Fetch it by "
        "hand; `callsheet resolve --resubmit` asks for it anew.",
        reason="BY_ADDRESS",
    )


def _absence(said: _Said) -> ProviderError:
    feedback = _mapping(said.value("promptFeedback"))
    blocked = str(_either(feedback, "blockReason") or "")
    if blocked not in _UNSPECIFIED:
        why = _tail(str(_either(feedback, "blockReasonMessage") or ""))
        told = f"The prompt was refused ({blocked}){why}. Change the prompt.{said.evidence(feedback)}"
        return PromptBlocked(told, reason=blocked)
    if said.body.is_cut:
        return Unknown(
            "The reply was cut off before a picture came. It may have been accepted and charged; see "
            "`callsheet resolve`.",
            reason="CUT_OFF",
        )
    if not said.is_reply:
        read = plain(said.body.text, 200) or f"{len(said.body.data)} bytes that are no text and no picture"
        return Unknown(
            f'The reply cannot be read: "{read}". It may have been accepted and charged; see `callsheet resolve`.',
            reason="UNREADABLE",
        )
    candidate = next(said.candidates(), None)
    if candidate is None:
        return NoImage(
            "The reply has no candidates and gives no reason. It may be tried again.", reason="NO_CANDIDATES"
        )
    reason = str(_either(candidate, "finishReason") or "")
    why = _tail(str(_either(candidate, "finishMessage") or "") or said.text())
    if is_refusal(reason):
        told = f"The picture was refused ({reason}){why}. Change the prompt.{said.evidence(candidate)}"
        return ImageBlocked(told, reason=reason)
    return NoImage(f"The reply has no picture ({reason or 'no reason'}){why}. Its text may be charged.", reason=reason)


def _tail(message: str) -> str:
    text = plain(message).rstrip(".")
    return f": {text}" if text else ""


class _Said:
    """What a reply says beside its pictures, over all its documents: those of a stream belong together."""

    def __init__(self, body: ReplyBody) -> None:
        self.body = body
        self._parts = [inner for document in body.documents if (inner := _response(document)) is not None]

    def evidence(self, judged: Mapping[str, object]) -> str:
        """What whoever asks Google about a refusal needs: the response's id, and the ratings that are not harmless."""
        ratings = map(_mapping, _sequence(_either(judged, "safetyRatings")))
        rated = [
            f"{plain(str(one.get('category') or ''), 60)} {plain(str(one.get('probability') or 'blocked'), 20)}"
            for one in ratings
            if one.get("blocked") is True or one.get("probability") in ("MEDIUM", "HIGH")
        ]
        answered = plain(str(self.value("responseId") or ""), 100)
        parts = [*([f"response {answered}"] if answered else []), *(["rated " + ", ".join(rated[:8])] if rated else [])]
        return f" ({'; '.join(parts)})" if parts else ""

    @property
    def is_reply(self) -> bool:
        """Whether there is nothing in it (null, an empty body), or JSON: not something that cannot be read."""
        return bool(self.body.documents) or not (self.body.text.strip("\ufeff \t\r\n\0") or self.body.data) or (
            self.body.text.strip() in ("null", "[]")
        )  # fmt: skip

    def value(self, camel: str) -> object:
        """The last value of a field of the response."""
        values = [found for part in self._parts if (found := _either(part, camel)) is not None]
        return values[-1] if values else None

    def candidates(self) -> Iterator[Mapping[str, object]]:
        """All candidates, in order; of a stream the last that gives a reason comes first."""
        found = [_mapping(one) for part in self._parts for one in _sequence(_either(part, "candidates"))]
        return iter(sorted(found, key=lambda one: not _either(one, "finishReason")))

    def texts(self) -> Iterator[str]:
        """The texts of the answer, thoughts apart."""
        for response in self._parts:
            for candidate in map(_mapping, _sequence(_either(response, "candidates"))):
                for part in map(_mapping, _sequence(_mapping(candidate.get("content")).get("parts"))):
                    text = part.get("text")
                    if isinstance(text, str) and part.get("thought") not in (True, "true"):
                        yield text

    def text(self) -> str:
        """The answer's text as it came, without pictures in it and control characters."""
        joined = "\n".join(filter(str.strip, self.texts()))
        text = _DATA_URL.sub("[picture]", joined)[:MAX_TEXT_CHARS]
        return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text).strip()

    def tokens(self) -> dict[str, int]:
        """Counts as reported: `input_text`, `output_image` ... by modality, `thoughts` and `total`."""
        usage = _mapping(self.value("usageMetadata"))
        counts: dict[str, int] = {}
        for side, name in (("input", "promptTokensDetails"), ("output", "candidatesTokensDetails")):
            for detail in map(_mapping, _sequence(_either(usage, name))):
                modality = plain(str(detail.get("modality") or "unknown"), 40).lower()
                more = _count(_either(detail, "tokenCount")) or 0
                counts[f"{side}_{modality}"] = counts.get(f"{side}_{modality}", 0) + more
        totals = {"thoughts": "thoughtsTokenCount", "total": "totalTokenCount"}
        if not counts:
            totals |= {"input": "promptTokenCount", "output": "candidatesTokenCount"}
        return counts | {name: count for name, field in totals.items() if (count := _count(_either(usage, field)))}


def _response(document: object, depth: int = 0) -> Mapping[str, object] | None:
    """The response in a document: itself, or what gateways wrap (`response`, `data`, `result`, a list)."""
    if isinstance(document, list) and depth < 4:
        return next((found for one in document if (found := _response(one, depth + 1)) is not None), None)
    if not isinstance(document, Mapping):
        return None
    if any(_either(document, name) is not None for name in ("candidates", "promptFeedback", "usageMetadata")):
        return document
    inner = (document.get(name) for name in ("response", "data", "result", "body")) if depth < 4 else ()
    return next((found for one in inner if (found := _response(one, depth + 1)) is not None), None)


def _either(value: Mapping[str, object], camel: str) -> object:
    """The field in camelCase or snake_case: gateways send both."""
    found = value.get(camel)
    return found if found is not None else value.get(re.sub(r"([A-Z])", r"_\1", camel).lower())


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else [value] if isinstance(value, Mapping) else ()


def _count(value: object) -> int | None:
    """A count as a number or as a text, as protocol buffers send 64 bits."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None
