"""Read an interaction: running, a video, or the error of its absence.

Pure functions of its JSON, for both platforms (google-genai 3.6.1, 2026-11-30). As lenient as for operations: a video
that is there counts, whatever the status says. What the interaction repeats of its input is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from callsheet.errors import NoVideo, OperationCancelled, OperationFailed, ProviderError, Unreachable, VideoFiltered
from callsheet.providers.error_bodies import plain, speaks_of_policy, support_codes
from callsheet.providers.error_codes import name_code
from callsheet.providers.operations import MOST_VIDEOS, judge_failure, lower_names, read_video, video_result
from callsheet.providers.protocol import VideoReady
from callsheet.providers.reply_words import count

_RUNNING = frozenset({"queued", "in_progress", "pending", "processing", "running", "created"})
_COMPLETED = frozenset({"completed", "complete", "succeeded", "success", "done"})
CANCELLED = ("cancelled", "canceled")
# Ends without a video, and what to do about each. To go on after any of them would be another paid request.
ENDS = {
    "failed": "",
    "error": "",
    **dict.fromkeys(CANCELLED, "It was cancelled."),
    "incomplete": "It ended before its video was whole: make the clip shorter, or the prompt simpler.",
    "budget_exceeded": "The budget of the key or project is used up: raise it in AI Studio or the Cloud console.",
    "requires_action": "It waits for an action that callsheet does not take: say in the prompt what is to be made.",
    "requires_continuation": "It ended before its video was whole, and going on would be paid anew.",
}
# Codes of a refusal for safety or policy.
_POLICY = ("SAFETY", "POLICY", "PROHIBITED", "BLOCK", "CONTENT_FILTER", "RECITATION", "MODERATION")
_HOLDERS = ("interaction", "response", "result", "data", "body", "output")
_OTHER_KINDS = ("text", "image", "audio", "thought", "document")
_OWN = ("input", "steps", "outputs", "usage", "status", "state")
MAX_TOLD_CHARS, MAX_TOKENS = 400, 10**12
# A poll was answered with 400 while its interaction ran and was billed (reported 2026-09): so many in a row are taken
# for trouble on the way.
MOST_BAD_REQUESTS = 5


def interaction_result(document: object, what: str = "the interaction") -> VideoReady | None:
    """Return the last video of an interaction with the others, None while it runs.

    Raises OperationFailed, VideoFiltered (also when it answered with words alone) or NoVideo. Unreachable when
    `document` is no interaction, or one that is to have a video and does not show it yet: a poll is free.
    """
    found = _find_interaction(document)
    if found is None:
        raise Unreachable(
            f"The poll of {what} was answered with something that is no interaction. Polling again is free."
        )
    status = _read_status(found)
    if status in _RUNNING:
        return None
    tokens = count_tokens(found)
    if videos := _find_videos(found):
        *others, last = videos
        return replace(last, others=tuple(others), tokens=tokens)
    failure = _judge(found, status, tokens.get("output_video", 0) > 0, what)
    if failure is not None:
        failure.tokens = tokens
        raise failure
    return None


def count_tokens(interaction: Mapping[str, object]) -> dict[str, int]:
    """Return the token counts as reported, by modality.

    `input_text`, `output_video` ..., and those of `thoughts`.
    """
    usage = interaction.get("usage")
    told = lower_names(usage) if isinstance(usage, Mapping) else {}
    counts: dict[str, int] = {}
    for side in ("input", "output"):
        for one in _as_list(told.get(f"{side}tokensbymodality")):
            fields = lower_names(one) if isinstance(one, Mapping) else {}
            modality = plain(str(fields.get("modality") or "unknown"), 40).lower()
            tokens = count(fields.get("tokens", fields.get("tokencount"))) or 0
            counts[f"{side}_{modality}"] = min(MAX_TOKENS, counts.get(f"{side}_{modality}", 0) + tokens)
        total = count(told.get(f"total{side}tokens"))
        if total and not any(name.startswith(side) and n for name, n in counts.items()):
            counts[side] = total
    thoughts = count(told.get("totalthoughttokens"))
    return counts | ({"thoughts": thoughts} if thoughts else {})


def _find_interaction(value: object, depth: int = 4) -> dict[str, object] | None:
    """Return the fields of the interaction in a document.

    The document itself, what it wraps, or the last of a list.
    """
    if isinstance(value, list | tuple):
        found = (_find_interaction(one, depth) for one in reversed(value[-50:]))
        return next((one for one in found if one is not None), None)
    if not isinstance(value, Mapping) or not depth:
        return None
    fields = lower_names(value)
    if fields.get("object") == "interaction" or any(name in fields for name in ("steps", "outputs", "status")):
        return fields
    inner = (_find_interaction(fields.get(holder), depth - 1) for holder in _HOLDERS)
    nested = next((one for one in inner if one is not None), None)
    return nested or (fields if {"error", "errors", "id", "state"} & fields.keys() else None)


def _read_status(fields: Mapping[str, object]) -> str:
    told = str(fields.get("status") or fields.get("state") or "")[:60]
    return re.sub(r"[^a-z0-9]+", "_", told.lower()).removeprefix("interaction_").removeprefix("status_")


def _find_videos(fields: Mapping[str, object]) -> list[VideoReady]:
    """Return the videos that were made, in order, without what was sent."""
    made = [video for one in _list_made(fields) if (video := _read_made(one)) is not None]
    if not made and (steps := _as_list(fields.get("steps"))):
        made = [video for one in steps if not _is_input(one) and (video := _read_made(one)) is not None]
    if not made:
        made = _find_elsewhere(fields)
    return list(dict.fromkeys(made))[-MOST_VIDEOS:]


def _find_elsewhere(fields: Mapping[str, object]) -> list[VideoReady]:
    """Return the videos that stand where an operation has them, as gateways do."""
    rest = {name: value for name, value in fields.items() if name not in _OWN and not name.startswith("error")}
    if "outputvideo" in rest:
        rest["video"] = rest.pop("outputvideo")
    try:
        ready = video_result(rest)
    except ProviderError:
        return []
    return [*reversed(ready.others), replace(ready, others=())] if ready is not None else []


def _list_made(fields: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield the contents that the model made."""
    steps = [one for one in _as_list(fields.get("steps")) if isinstance(one, Mapping) and not _is_input(one)]
    for step in [*steps, {"content": fields.get("outputs")}]:
        for one in _as_list(lower_names(step).get("content")):
            if isinstance(one, Mapping):
                yield one


def _is_input(step: object) -> bool:
    told = lower_names(step) if isinstance(step, Mapping) else {}
    return "input" in str(told.get("type") or "").lower() or str(told.get("role") or "").lower() == "user"


def _read_made(content: object) -> VideoReady | None:
    """Return the video of a content, None for words, pictures and sounds."""
    if not isinstance(content, Mapping):
        return None
    told = lower_names(content)
    kind, mime_type = str(told.get("type") or "video").lower(), str(told.get("mimetype") or "video/").lower()
    if kind in _OTHER_KINDS or not mime_type.startswith(("video/", "application/")):
        return None
    return read_video(content)


def _judge(fields: Mapping[str, object], status: str, is_billed: bool, what: str) -> ProviderError | None:
    """Return what it means that no video is there, None when it may still come."""
    errors = list(_find_errors(fields))
    words = plain(" ".join(_find_words(fields)), MAX_TOLD_CHARS)
    if status in _COMPLETED and not errors:
        if is_billed:
            return Unreachable(f"{what} is completed and billed, and shows no video yet. Polling again is free.")
        if words:
            return _report_refusal(words)
        return NoVideo("The interaction is completed, without a video and without a reason. Not charged as a video.")
    if not errors and status not in ENDS:
        return None
    failure = _judge_errors(errors, status, words)
    if is_billed and isinstance(failure, OperationFailed):
        failure.charged = True
        failure.message = failure.message.replace(
            " Not charged; submitting again may work.", " Its tokens are billed."
        ).replace(" Not charged.", " Its tokens are billed.")
        failure.args = (failure.message,)
    return failure


def _report_refusal(words: str) -> VideoFiltered:
    message = f"The model answered with words, and no video: {words.rstrip('.')}. Not charged as a video; change prompt"
    return VideoFiltered(f"{message} or inputs.", reason=support_codes(words) or "REFUSED")


def _judge_errors(errors: Sequence[Mapping[str, object]], status: str, words: str) -> ProviderError:
    advice = ENDS.get(status, "")
    error = dict(errors[0]) if errors else {}
    code = name_code(error.get("code")) or name_code(error.get("status"))
    message = plain(str(error.get("message") or "")) or words or advice or f"it ended as {status}"
    if any(word in code for word in _POLICY) or speaks_of_policy(message):
        return _report_refusal(message)
    if status in CANCELLED:
        return OperationCancelled(
            f"It was cancelled, and gives no video{_quote(message, advice)}. --remake sends it again.",
            reason="CANCELLED",
        )
    reason = code or ("UNKNOWN" if status in ("failed", "error") else status.upper())
    failure = judge_failure({"code": reason, "message": message})
    if advice and advice not in failure.message:
        failure.message = f"{failure.message} {advice}"
        failure.args = (failure.message,)
    return failure


def _quote(message: str, advice: str) -> str:
    """Return what is told besides that it was cancelled."""
    return "" if message == advice else f" ({message.rstrip('.')})"


def _find_errors(fields: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield the errors of the interaction and of its steps.

    A text in place of one is its message.
    """
    steps = [lower_names(one).get("error") for one in _as_list(fields.get("steps")) if isinstance(one, Mapping)]
    for error in [fields.get("error"), *_as_list(fields.get("errors")), *steps]:
        if isinstance(error, Mapping) and error:
            yield error
        elif isinstance(error, str) and error:
            yield {"message": error}


def _find_words(fields: Mapping[str, object]) -> Iterator[str]:
    for one in _list_made(fields):
        text = one.get("text")
        if isinstance(text, str) and str(one.get("type") or "text").lower() != "thought":
            yield text


def _as_list(value: object) -> Sequence[object]:
    if isinstance(value, list | tuple):
        return value
    return (value,) if isinstance(value, Mapping | str) and value else ()
