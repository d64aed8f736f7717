"""Read a reply: the pictures or the answer in it, or the error of their absence.

Pure functions of the reply. What lies in a reply counts before what is said about it: a whole picture is taken wherever
it lies and whatever the finish reason, for it is paid for. Reasons as listed by google-genai 3.4.0 (2026-11); unknown
values are accepted and judged by their words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
from callsheet.media.containers import HEAD_BYTES, picture_type
from callsheet.media.facts import ImageProbe
from callsheet.media.probe import probe_image
from callsheet.providers.error_bodies import plain
from callsheet.providers.http_errors import Phase, from_reply
from callsheet.providers.protocol import ImageResult, LookResult, Picture
from callsheet.providers.reply_body import ReplyBody, read_body
from callsheet.providers.reply_pictures import ReplyPicture, find_pictures
from callsheet.providers.reply_spool import Reply
from callsheet.providers.reply_words import Said, count, either, error_body, mapping, stated_error

# The largest picture measured was 21 MB (4K PNG, 2026-09-20).
MAX_IMAGE_BYTES = 64 * 1024 * 1024
# The reason of a BadImage whose reply holds no picture, but the address of one.
BY_ADDRESS = "BY_ADDRESS"
MAX_ANSWER = 16 * 1024
# Refusals; every other reason without a picture is technical, and another try may give one.
BLOCKING = frozenset(
    {
        "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION", "MODEL_ARMOR", "ESCALATION", "PUP_LIMITED_DISABLED",
    }
)  # fmt: skip
_BLOCKING_WORDS = ("SAFETY", "PROHIBITED", "BLOCK", "POLICY", "RECITATION")
_UNSPECIFIED = ("", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED")


def read_picture(reply: Reply, what: str = "a picture", fetched: Sequence[bytes] = ()) -> ImageResult:
    """Return the picture of a reply as it came, whatever its status.

    See `image_result`. A reply kept in the spool reads the same. `fetched` is what was at the addresses in it.
    """
    try:
        result = image_result(read_body(reply), what, retry_after=reply.headers.get("retry-after"), fetched=fetched)
        return replace(result, request_id=reply.request_id)
    except BadImage:
        raise
    except ProviderError as error:
        raise _judge_by_status(reply, what, error) from None


def read_look(reply: Reply, what: str = "a look") -> LookResult:
    """Return the answer of a reply as it came; see `look_result`."""
    try:
        result = look_result(read_body(reply), what, retry_after=reply.headers.get("retry-after"))
        return replace(result, request_id=reply.request_id)
    except ProviderError as error:
        raise _judge_by_status(reply, what, error) from None


def _judge_by_status(reply: Reply, what: str, error: ProviderError) -> ProviderError:
    """Return the error for a reply without a result.

    Its HTTP status decides first, else what it says.
    """
    if reply.status == 200:
        return error
    retry_after = reply.headers.get("retry-after")
    told = from_reply(reply.status, error_body(reply), Phase.SUBMIT, what=what, retry_after=retry_after)
    told.tokens = error.tokens
    return told


def find_addresses(reply: Reply) -> tuple[str, ...]:
    """Return the addresses of the pictures that a reply only names."""
    return find_pictures(read_body(reply)).addresses


def image_result(
    body: ReplyBody, what: str = "a picture", *, retry_after: str | None = None, fetched: Sequence[bytes] = ()
) -> ImageResult:
    """Return the picture of a reply, with the other whole ones.

    The last whole one of the answer, else of anywhere, else of its thoughts. Raises BadImage when only parts of
    pictures came, or the address of one; else the error that the reply states, PromptBlocked, ImageBlocked, NoImage, or
    Unknown when nothing can be read. Every error has the tokens that the reply reports.
    """
    found = find_pictures(body)
    pictures = (
        *found.pictures,
        *(ReplyPicture(data, picture_type(data[:HEAD_BYTES]) or "", is_answer=True) for data in fetched),
    )
    whole, damage = _select_whole(pictures)
    said = Said(body)
    if not whole:
        error = _judge_damaged(damage, body) if pictures else None
        error = error or stated_error(body, Phase.SUBMIT, what, retry_after=retry_after)
        error = error or (_judge_elsewhere(found.addresses) if found.addresses else _judge_absence(said))
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
        safety_ratings=said.ratings(),
    )


def look_result(body: ReplyBody, what: str = "a look", *, retry_after: str | None = None) -> LookResult:
    """Return the text of a reply.

    Raises the error that it states, PromptBlocked, ImageBlocked, or NoAnswer when there is none.
    """
    said = Said(body)
    text = "".join(said.texts())[:MAX_ANSWER]
    if not text.strip():
        error = stated_error(body, Phase.SUBMIT, what, retry_after=retry_after) or _judge_absence(said)
        if isinstance(error, NoImage):
            error = NoAnswer("The reply has no text. What was sent is billed.", reason=error.reason)
        raise error
    usage = mapping(said.value("usageMetadata"))
    prompt, candidates, thoughts = (
        count(either(usage, name)) for name in ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    )
    return LookResult(
        text=text,
        input_tokens=prompt if usage else None,
        output_tokens=(candidates or 0) + (thoughts or 0) if usage else None,
        model_version=plain(str(said.value("modelVersion") or ""), 200),
        response_id=plain(str(said.value("responseId") or ""), 200),
    )


def is_refusal(reason: str) -> bool:
    """Return whether a finish reason is a refusal rather than a technical end.

    A refusal is for safety or policy.
    """
    return reason in BLOCKING or any(word in reason for word in _BLOCKING_WORDS)


def _select_whole(pictures: Sequence[ReplyPicture]) -> tuple[list[tuple[tuple[bool, bool], Picture]], str]:
    """Return the whole pictures, the one to take last, and the others' last fault."""
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


def _probe(one: ReplyPicture) -> ImageProbe:
    if len(one.data) > MAX_IMAGE_BYTES:
        raise MediaError(f"a picture of {len(one.data)} bytes; the most taken is {MAX_IMAGE_BYTES}.")
    return probe_image(one.data)


def _judge_damaged(damage: str, body: ReplyBody) -> ProviderError:
    cut = " The reply was cut off." if body.is_cut else ""
    return BadImage(
        f"The reply holds bytes of a picture, but no whole one: {damage}{cut} It is not asked for again by itself, "
        "for it may be charged: `callsheet resolve --resubmit` asks again.",
        reason="BAD_IMAGE",
    )


def _judge_elsewhere(addresses: Sequence[str]) -> ProviderError:
    return BadImage(f"The reply names its picture by an address: {plain(addresses[0], 300)}.", reason=BY_ADDRESS)


def _judge_absence(said: Said) -> ProviderError:
    feedback = mapping(said.value("promptFeedback"))
    blocked = str(either(feedback, "blockReason") or "")
    if blocked not in _UNSPECIFIED:
        why = _format_tail(str(either(feedback, "blockReasonMessage") or ""))
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
    reason = str(either(candidate, "finishReason") or "")
    why = _format_tail(str(either(candidate, "finishMessage") or "") or said.text())
    if is_refusal(reason):
        told = f"The picture was refused ({reason}){why}. Change the prompt.{said.evidence(candidate)}"
        return ImageBlocked(told, reason=reason)
    return NoImage(f"The reply has no picture ({reason or 'no reason'}){why}. Its text may be charged.", reason=reason)


def _format_tail(message: str) -> str:
    text = plain(message).rstrip(".")
    return f": {text}" if text else ""
