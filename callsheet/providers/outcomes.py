"""What a picture reply says: the picture, or the class of its absence. Pure functions of the reply.

Reasons as listed by google-genai 3.4.0 (2026-11); unknown values are accepted and judged by their words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from callsheet.errors import BadImage, ImageBlocked, NoAnswer, NoImage, PromptBlocked, ProviderError
from callsheet.providers.error_bodies import plain
from callsheet.providers.protocol import ImageResult, LookResult

if TYPE_CHECKING:
    from google.genai import types

# The largest picture measured was 21 MB (4K PNG, 2026-09-20).
MAX_IMAGE_BYTES = 64 * 1024 * 1024
MAX_ANSWER = 16 * 1024
# Refusals; every other reason without a picture is technical, and another try may give one.
BLOCKING = frozenset(
    {
        "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION", "MODEL_ARMOR", "ESCALATION", "PUP_LIMITED_DISABLED",
    }
)  # fmt: skip
_MIME = re.compile(r"image/[\w.+-]{1,60}")
_BLOCKING_WORDS = ("SAFETY", "PROHIBITED", "BLOCK", "POLICY", "RECITATION")


def image_result(reply: types.GenerateContentResponse | Mapping[str, object]) -> ImageResult:
    """The picture in a generate_content reply; PromptBlocked, ImageBlocked or NoImage when there is none.

    Parts marked as thoughts may hold interim pictures and are skipped; of several pictures the last is the final
    one. A picture that came counts whatever the finish reason: it is paid for.
    """
    response = _typed(reply)
    pictures = [blob for part in _parts(response) if (blob := _picture(part)) is not None]
    if not pictures:
        raise _absence(response)
    data = pictures[-1].data or b""
    if len(data) > MAX_IMAGE_BYTES:
        raise BadImage(f"The reply holds a picture of {len(data)} bytes; the most taken is {MAX_IMAGE_BYTES}.")
    return ImageResult(
        data=data,
        mime_type=pictures[-1].mime_type or "",
        model_version=plain(response.model_version or "", 200),
        response_id=plain(response.response_id or "", 200),
        tokens=_tokens(response.usage_metadata),
        text=_text(response),
    )


def look_result(reply: types.GenerateContentResponse) -> LookResult:
    """The text of a reply; PromptBlocked, ImageBlocked or NoAnswer when there is none."""
    text, usage = "".join(part.text for part in _parts(reply) if part.text)[:MAX_ANSWER], reply.usage_metadata
    if not text.strip():
        absence = _absence(reply)
        if isinstance(absence, NoImage):
            raise NoAnswer("The reply has no text. What was sent is billed.", reason=absence.reason)
        raise absence
    return LookResult(
        text=text,
        input_tokens=usage.prompt_token_count if usage else None,
        output_tokens=(usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0) if usage else None,
        model_version=plain(reply.model_version or "", 200),
        response_id=plain(reply.response_id or "", 200),
    )


def is_refusal(reason: str) -> bool:
    """Whether a finish reason is a refusal for safety or policy rather than a technical end."""
    return reason in BLOCKING or any(word in reason for word in _BLOCKING_WORDS)


def _typed(reply: types.GenerateContentResponse | Mapping[str, object]) -> types.GenerateContentResponse:
    from google.genai import types  # slow to import; this module is read before any provider is opened

    return types.GenerateContentResponse.model_validate(reply) if isinstance(reply, Mapping) else reply


def _parts(response: types.GenerateContentResponse) -> Iterator[types.Part]:
    for candidate in response.candidates or ():
        parts = candidate.content.parts if candidate.content else None
        yield from (part for part in parts or () if not part.thought)


def _picture(part: types.Part) -> types.Blob | None:
    blob = part.inline_data
    return blob if blob and blob.data and _MIME.fullmatch(blob.mime_type or "") else None


def _absence(response: types.GenerateContentResponse) -> ProviderError:
    feedback = response.prompt_feedback
    if feedback and feedback.block_reason:
        reason = feedback.block_reason.value
        said = _said(feedback.block_reason_message)
        return PromptBlocked(f"The prompt was refused ({reason}){said}. Change the prompt.", reason=reason)
    if not response.candidates:
        return NoImage(
            "The reply has no candidates and gives no reason. It may be tried again.", reason="NO_CANDIDATES"
        )
    candidate = response.candidates[0]
    reason = candidate.finish_reason.value if candidate.finish_reason else ""
    said = _said(candidate.finish_message or _text(response))
    if is_refusal(reason):
        return ImageBlocked(f"The picture was refused ({reason}){said}. Change the prompt.", reason=reason)
    return NoImage(f"The reply has no picture ({reason or 'no reason'}){said}. Its text may be charged.", reason=reason)


def _said(message: str | None) -> str:
    text = plain(message or "").rstrip(".")
    return f": {text}" if text else ""


def _text(response: types.GenerateContentResponse) -> str:
    return plain(" ".join(part.text for part in _parts(response) if part.text), 2000)


def _tokens(usage: types.GenerateContentResponseUsageMetadata | None) -> dict[str, int]:
    """Counts as reported: `input_text`, `output_image` ... by modality, `thoughts` and `total`."""
    if usage is None:
        return {}
    counts: dict[str, int] = {}
    for side, details in (("input", usage.prompt_tokens_details), ("output", usage.candidates_tokens_details)):
        for detail in details or ():
            modality = detail.modality.value.lower() if detail.modality else "unknown"
            counts[f"{side}_{modality}"] = counts.get(f"{side}_{modality}", 0) + (detail.token_count or 0)
    totals = {"thoughts": usage.thoughts_token_count, "total": usage.total_token_count}
    return counts | {name: count for name, count in totals.items() if count}
